"""`magpie train brain-mask`: the network that finds the brain."""

from __future__ import annotations

import typer

from magpie_core.commands.train.options import Anatomy, Minutes, Out, Seed, Threads
from magpie_core.commands.train.run import hold_run, prepare_torch


def brain_mask(
    anatomy: Anatomy,
    out: Out,
    minutes: Minutes = 30.0,
    seed: Seed = 0,
    threads: Threads = 1,
) -> None:
    """Teach the network that finds the brain in images of the whole head; the result is OUT/weights."""
    from magpie_core.training.brain_extraction_training import train_brain_extraction

    prepare_torch(threads, seed)

    def tell(spent: float, figures: dict[str, float]) -> None:
        told = f"loss {figures['loss']:.3f}  Dice {figures['dice']:.3f}"
        typer.echo(f"{spent:6.1%}  step {int(figures['step'])}  {told}", err=True)

    with hold_run(out, {"data": "synthetic heads"}):
        weights = train_brain_extraction(anatomy, out, minutes=minutes, seed=seed, on_progress=tell)
    typer.echo(f"The weights are in {weights}")
