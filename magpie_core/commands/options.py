"""Options that several commands share."""

from __future__ import annotations

import getpass
import re
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from magpie_core.imaging.modality import Modality


class Precision(str, Enum):
    """Arithmetic of the network."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


class Orientation(str, Enum):
    """The two transforms that a NIfTI file may hold."""

    SFORM = "sform"
    QFORM = "qform"


def user_name() -> str:
    """The user's name, for logs."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def read_series(texts: list[str]) -> dict[Modality, int]:
    """Read "T1CE=5" as {T1CE: 5}.

    Raises:
        typer.BadParameter: If a text is not of that form.
    """
    chosen = {}
    for text in texts:
        name, _, number = text.partition("=")
        if name.upper() not in Modality.__members__ or not number.isdigit():
            raise typer.BadParameter(f"--series is a modality and a number, such as T1CE=5, not {text!r}.")
        chosen[Modality[name.upper()]] = int(number)
    return chosen


def _device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise typer.BadParameter("use auto, cpu, cuda or cuda:N")
    return value


class BrainExtraction(str, Enum):
    """Methods for brain extraction (skull stripping) in images of the whole head."""

    MAGPIE = "magpie"
    HD_BET = "hd-bet"
    SYNTHSTRIP = "synthstrip"


BrainExtractionMethod = Annotated[
    BrainExtraction,
    typer.Option("--brain-extraction", help="Brain-extraction method; hd-bet and synthstrip must be installed."),
]
OrientationName = Annotated[
    Orientation | None, typer.Option("--orientation", help="Transform to use when sform and qform disagree.")
]
Order = Annotated[
    str | None,
    typer.Option("--order", help="Modalities of files numbered _0000, _0001, ...; FLAIR,T1,T1CE,T2 for MSD."),
]
Series = Annotated[
    list[str] | None,
    typer.Option("--series", help="DICOM series to use for a modality, such as T1CE=5; may be given several times."),
]
Repair = Annotated[bool, typer.Option("--repair", help="Set voxels that are not numbers to 0, with a warning.")]
ModelName = Annotated[
    str | None,
    typer.Option("--model", help="A model folder, or the name of an installed model (default: the one in use)."),
]
DeviceName = Annotated[str, typer.Option("--device", callback=_device, help="auto, cpu, cuda or cuda:N.")]
PrecisionName = Annotated[Precision, typer.Option("--precision", help="Arithmetic of the network.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads (default: all).")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")]
Anatomy = Annotated[
    Path | None,
    typer.Option(
        "--anatomy", envvar="MAGPIE_ANATOMY", help="Folder of label maps of heads (default: one that is installed)."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
