"""What a fine-tuning is doing, in words, with the time that remains where it is known."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from magpie_core.progress import Progress
from magpie_core.training.finetuning.time_plan import FEW_STEPS


def synthesis_reporter(
    progress: Progress, made: int, studies: int, clock: Callable[[], float] = time.monotonic
) -> Callable[[float], None]:
    """Return a callback for the fraction done of the synthetic studies that are missing.

    Args:
        progress: Called with the fraction, and with how many studies there are and how long the others take.
        made: How many of the `studies` are there already.
    """
    start_s = clock()

    def report(fraction: float) -> None:
        number = made + round(fraction * (studies - made))
        stage = f"Generating synthetic studies, {number} of {studies} done"
        if fraction > 0:
            stage += _remaining((clock() - start_s) / fraction * (1 - fraction) / 60)
        progress(fraction, stage)

    return report


def round_stage(number: int, rounds: int, minutes_left: float | None, steps: int | None = None) -> str:
    """Return the stage of a round (from 0).

    Args:
        minutes_left: Of the whole fine-tuning; None if not known.
        steps: That the round will have; None if not known.
    """
    stage = f"Fine-tuning, round {number + 1} of {rounds}"
    if steps is not None and steps < FEW_STEPS and minutes_left is not None:
        stage += f" (about {steps} steps, which hardly improve a model)"
    return stage if minutes_left is None else stage + _remaining(minutes_left)


def _remaining(minutes: float) -> str:
    return f", about {max(1, math.ceil(minutes))} min remaining"
