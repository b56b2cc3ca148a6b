"""Options that the trainings share."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from magpie_core.commands.options import options_of, ranged
from magpie_core.storage.ranges import FRACTION, SEED, Range, check_ranges

if TYPE_CHECKING:
    from magpie_core.training.loop_options import LoopOptions


def _precision(value: str) -> str:
    from magpie_core.training.loop_options import PRECISIONS

    if value not in PRECISIONS:
        raise typer.BadParameter(f"use {', '.join(PRECISIONS)}")
    return value


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Where, how long and on what a training runs."""

    output: Annotated[Path, "Run folder; an interrupted run in it is resumed."]
    minutes: Annotated[float, "Minutes of training, over all resumed runs.", Range(0.001, math.inf)] = math.inf
    steps: Annotated[int, "Steps of training, if they are reached before the minutes.", Range(1, 10**9)] = 1_000_000
    seed: Annotated[int, "Random seed.", SEED] = 0
    threads: Annotated[int, "CPU threads of the training; 0 for torch's choice.", Range(0, 1024)] = 1
    device: Annotated[str, "auto, cpu, gpu, cuda, cuda:N or mps."] = "auto"
    precision: Annotated[
        str, "Precision: auto (bf16 where the device is fast at it), bf16, fp16 (CUDA only) or fp32."
    ] = "auto"
    shard: Annotated[bool, "Shard the network over the processes (FSDP): less memory, more communication."] = False

    def __post_init__(self) -> None:
        check_ranges(self)

    def loop(self, options: LoopOptions) -> LoopOptions:
        """Return `options` with the budget, precision, sharding and seed given here."""
        return replace(
            options,
            budget_steps=self.steps,
            budget_minutes=self.minutes,
            precision=self.precision,
            shard=self.shard,
            seed=self.seed,
        )


training_options = options_of(TrainingOptions, precision={"callback": _precision})
RATE, BATCH, PROCESSES = Range(1e-9, 10.0), Range(1, 4096), Range(0, 1024)
Anatomy = Annotated[Path, typer.Option(envvar="MAGPIE_ANATOMY", help="Folder of anatomical label maps of heads.")]
LearningRate = Annotated[float, typer.Option(help="Peak learning rate.", **ranged(RATE))]
Interpolation = Annotated[
    float,
    typer.Option(
        "--interpolate-start",
        **ranged(FRACTION),
        help="Fraction of the starting model's weights in the result (weight interpolation).",
    ),
]
License = Annotated[str, typer.Option(help="License of the weights (SPDX), as that of the data.")]
BatchSize = Annotated[int, typer.Option(help="Patches per step and process.", **ranged(BATCH))]
Generators = Annotated[int, typer.Option(help="Processes that generate synthetic studies.", **ranged(PROCESSES))]
NetworkName = Annotated[str, typer.Option("--network", help="Network; magpie-s, or the start's, by default.")]
Start = Annotated[Path | None, typer.Option(help="Model folder to start from, instead of a new network.")]
BufferFolder = Annotated[
    Path | None, typer.Option("--synthetic-buffer", help="Folder of synthetic studies; with --anatomy it is filled.")
]
