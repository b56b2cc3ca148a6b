"""Options that the trainings share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def _precision(value: str) -> str:
    from magpie_core.training.loop_options import PRECISIONS

    if value not in PRECISIONS:
        raise typer.BadParameter(f"use {', '.join(PRECISIONS)}")
    return value


def _length(value: float) -> float:
    if not value > 0:
        raise typer.BadParameter("give a number above 0")
    return value


Out = Annotated[Path, typer.Option("--out", "-o", help="Run folder; an interrupted run in it is resumed.")]
Anatomy = Annotated[Path, typer.Option(envvar="MAGPIE_ANATOMY", help="Folder of anatomical label maps.")]
Minutes = Annotated[
    float, typer.Option(callback=_length, help="Length of the training in minutes, over all resumes.")
]
Steps = Annotated[int, typer.Option(min=1, help="Length of the training in steps, if that comes first.")]
Rate = Annotated[float, typer.Option(help="Highest learning rate.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Threads = Annotated[
    int, typer.Option(min=0, help="Processor threads of the training itself; 0 for torch's choice.")
]
Kept = Annotated[
    float,
    typer.Option(
        "--keep-start", min=0.0, max=1.0, help="Share of the starting model in the averaged weights."
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        callback=_precision,
        help="auto (bf16 where the device is fast at it), bf16, fp16 (CUDA only) or fp32.",
    ),
]
Shard = Annotated[
    bool,
    typer.Option(
        "--shard", help="Divide the network among the processes: less memory in each, more talk between them."
    ),
]
License = Annotated[str, typer.Option(help="License of the weights (SPDX), as the data have it.")]
Boxes = Annotated[int, typer.Option(min=1, help="Boxes per step and process; more take more memory.")]
Generators = Annotated[
    int, typer.Option(min=0, help="Processes that make synthetic studies, one thread each.")
]
