"""Options that several commands share."""

from __future__ import annotations

import getpass
import re
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Precision(str, Enum):
    """Arithmetic of the network."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


class Orientation(str, Enum):
    """Which of the two orientations in a NIfTI file to believe."""

    SFORM = "sform"
    QFORM = "qform"


def user() -> str:
    """The user's name, for logs."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise typer.BadParameter("use auto, cpu, cuda or cuda:N")
    return value


class BrainExtraction(str, Enum):
    """Who finds the brain in images of the whole head."""

    MAGPIE = "magpie"
    HD_BET = "hd-bet"
    SYNTHSTRIP = "synthstrip"


BrainBy = Annotated[
    BrainExtraction,
    typer.Option("--brain-by", help="Who finds the brain; hd-bet and synthstrip must be installed."),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model", help="A model folder, or the name of an installed model (default: the one in use)."
    ),
]
DeviceName = Annotated[str, typer.Option("--device", callback=_device, help="auto, cpu, cuda or cuda:N.")]
PrecisionName = Annotated[Precision, typer.Option("--precision", help="Arithmetic of the network.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Processor threads (default: all).")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")]
Anatomy = Annotated[
    Path | None,
    typer.Option(
        "--anatomy",
        envvar="MAGPIE_ANATOMY",
        help="Folder of label maps of heads (default: one that is installed).",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
