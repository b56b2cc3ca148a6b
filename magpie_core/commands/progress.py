"""A bar with a real percentage and the name of the stage, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType

from magpie_core.commands.output import say

Progress = Callable[[float, str], None]


class ProgressBar:
    """Shows how far a study is: a bar on a terminal, one line a stage elsewhere.

    Parameters
    ----------
    title
        What is being done, in front of the bar.
    quiet
        Show nothing.
    """

    def __init__(self, title: str, *, quiet: bool = False) -> None:
        self._title = title
        self._quiet = quiet
        self._stage = ""
        self._share = 0.0
        self._bar = None
        if not quiet and sys.stderr.isatty():
            from rich import progress as rich
            from rich.console import Console

            self._bar = rich.Progress(
                rich.TextColumn("{task.fields[title]}", markup=False),
                rich.BarColumn(bar_width=30),
                rich.TaskProgressColumn(),
                rich.TextColumn("{task.fields[stage]}", markup=False),
                rich.TimeElapsedColumn(),
                console=Console(stderr=True),
            )

    def __enter__(self) -> ProgressBar:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("", total=1.0, title=self._title, stage="")
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, share: float, stage: str) -> None:
        """Report the share done (0 to 1, never backwards) and the stage."""
        self._share = max(self._share, min(1.0, share))
        if self._bar is not None:
            self._bar.update(self._task, completed=self._share, stage=stage)
        elif not self._quiet and stage != self._stage:
            say(f"{self._title}: {self._share:4.0%} {stage}")
        self._stage = stage


def part_of(progress: Progress, first: float, last: float) -> Progress:
    """A callback whose 0 to 1 is `first` to `last` of another; its end is left to the next stage to tell."""

    def tell(share: float, stage: str) -> None:
        if share < 1.0:
            progress(first + (last - first) * share, stage)

    return tell
