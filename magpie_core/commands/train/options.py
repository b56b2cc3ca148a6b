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


def _positive(value: float) -> float:
    if not value > 0:
        raise typer.BadParameter("give a number above 0")
    return value


Out = Annotated[Path, typer.Option("--out", "-o", help="Run folder; an interrupted run in it is resumed.")]
Anatomy = Annotated[Path, typer.Option(envvar="MAGPIE_ANATOMY", help="Folder of anatomical label maps of heads.")]
Minutes = Annotated[float, typer.Option(callback=_positive, help="Minutes of training, over all resumed runs.")]
Steps = Annotated[int, typer.Option(min=1, help="Steps of training, if they are reached before the minutes.")]
LearningRate = Annotated[float, typer.Option(help="Peak learning rate.")]
Seed = Annotated[int, typer.Option(min=0, help="Random seed.")]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads of the training; 0 for torch's choice.")]
Interpolation = Annotated[
    float,
    typer.Option(
        "--interpolate-start",
        min=0.0,
        max=1.0,
        help="Fraction of the starting model's weights in the result (weight interpolation).",
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        callback=_precision,
        help="Precision: auto (bf16 where the device is fast at it), bf16, fp16 (CUDA only) or fp32.",
    ),
]
Shard = Annotated[
    bool, typer.Option("--shard", help="Shard the network over the processes (FSDP): less memory, more communication.")
]
License = Annotated[str, typer.Option(help="License of the weights (SPDX), as that of the data.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Patches per step and process.")]
Generators = Annotated[int, typer.Option(min=0, help="Processes that generate synthetic studies.")]
NetworkName = Annotated[str, typer.Option("--network", help="Network; magpie-s, or the start's, by default.")]
Start = Annotated[Path | None, typer.Option(help="Model folder to start from, instead of a new network.")]
BufferFolder = Annotated[
    Path | None, typer.Option("--synthetic-buffer", help="Folder of synthetic studies; with --anatomy it is filled.")
]
