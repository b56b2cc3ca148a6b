"""A bar with a real percentage and the name of the stage, on stderr."""

from __future__ import annotations

import sys

from magpie_core.commands.output import print_message


class ProgressBar:
    """Shows how far a study is: a bar on a terminal, one line a stage elsewhere."""

    def __init__(self, title: str, *, quiet: bool = False) -> None:
        self._title = title
        self._quiet = quiet
        self._stage = ""
        self._fraction = 0.0
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

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, fraction: float, stage: str) -> None:
        """Report the fraction done (0 to 1, never backwards) and the stage."""
        self._fraction = max(self._fraction, min(1.0, fraction))
        if self._bar is not None:
            self._bar.update(self._task, completed=self._fraction, stage=stage)
        elif not self._quiet and stage != self._stage:
            print_message(f"{self._title}: {self._fraction:4.0%} {stage}")
        self._stage = stage
