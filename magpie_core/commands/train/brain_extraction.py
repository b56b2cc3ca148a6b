"""`magpie train brain-extraction`: the brain-extraction network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from magpie_core.commands.options import option_of
from magpie_core.commands.train.options import Anatomy, TrainingOptions
from magpie_core.commands.train.run import lock_run, prepare_torch

Out = Annotated[Path, option_of(TrainingOptions, "output")]
Minutes = Annotated[float, option_of(TrainingOptions, "minutes")]
Seed = Annotated[int, option_of(TrainingOptions, "seed")]
Threads = Annotated[int, option_of(TrainingOptions, "threads")]


def brain_extraction(anatomy: Anatomy, out: Out, minutes: Minutes = 30.0, seed: Seed = 0, threads: Threads = 1) -> None:
    """Train the brain-extraction network on synthetic heads; the result is OUT/weights."""
    from magpie_core.training.brain_extraction_training import train_brain_extraction

    prepare_torch(threads, seed)

    def report(progress: float, metrics: dict[str, float]) -> None:
        scores = f"loss {metrics['loss']:.3f}  Dice {metrics['dice']:.3f}"
        typer.echo(f"{progress:6.1%}  step {int(metrics['step'])}  {scores}", err=True)

    with lock_run(out, {"data": "synthetic heads", "minutes": minutes, "seed": seed}):
        weights = train_brain_extraction(anatomy, out, minutes=minutes, seed=seed, on_progress=report)
    typer.echo(f"The weights are in {weights}")
