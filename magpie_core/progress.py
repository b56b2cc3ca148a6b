"""How long work reports its progress, and how it is cancelled: by a callback that may raise Cancelled."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, str], None]
"""Called with the fraction done, 0 to 1, and the stage in words."""


def no_progress(fraction: float, stage: str) -> None:
    """Ignore the progress."""


def part_of(progress: Progress, first: float, last: float) -> Progress:
    """Return a callback whose 0 to 1 is `first` to `last` of another; its end is left to the next stage to report."""

    def report(fraction: float, stage: str) -> None:
        if fraction < 1.0:
            progress(first + (last - first) * fraction, stage)

    return report
