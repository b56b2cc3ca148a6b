"""How the minutes of a fine-tuning are shared, and what they went to."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from magpie_core.storage.atomic import write_bytes

NAME = "time.json"
_SYNTHETIC = 0.2  # greatest part of the minutes for making synthetic studies
_LEAST_TRAINING = 0.2  # least part of the minutes for training, if the cases take the others
_SCORE_S = 10.0  # of a case, until one was timed
FEW_STEPS = 200
"""Trainings of fewer steps hardly improve a model."""


class TimePlan:
    """Shares minutes between reading, synthetic studies, trainings and scoring; all of them together are the minutes.

    A run that is resumed keeps the time that a training had.

    Args:
        folder: Run folder.
        minutes: Of the whole fine-tuning; None if steps decide.
        trainings: Number of trainings.
    """

    def __init__(
        self, folder: Path, minutes: float | None, trainings: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path, self._minutes, self._trainings, self._clock = folder / NAME, minutes, trainings, clock
        self._begin_s = clock()
        self._spent_s: dict[str, float] = {}
        self._scored = 0
        self.training_minutes: float | None = None
        if minutes is not None and self._path.exists():
            self.training_minutes = float(json.loads(self._path.read_text(encoding="utf-8"))["training minutes"])

    @contextmanager
    def spend(self, what: str) -> Iterator[None]:
        """Count the time of the block as spent on `what`: "reading", "synthetic studies", "training" or "scoring"."""
        begin_s = self._clock()
        try:
            yield
        finally:
            self._spent_s[what] = self._spent_s.get(what, 0.0) + self._clock() - begin_s
            self._scored += what == "scoring"

    def time_for_synthetic_studies(self) -> Callable[[], bool]:
        """Return whether more may be made: not when they have taken their part of the minutes from now on."""
        begin_s = self._clock()
        return lambda: self._minutes is None or self._clock() - begin_s < _SYNTHETIC * self._minutes * 60

    def share(self, scorings: int) -> None:
        """Set the minutes of each training: what the steps so far and the scorings that are to come leave."""
        if self._minutes is None or self.training_minutes is not None:
            return
        score_s = self._spent_s["scoring"] / self._scored if self._scored else _SCORE_S
        left = self._minutes - (self._clock() - self._begin_s + scorings * score_s) / 60
        self.training_minutes = max(left, _LEAST_TRAINING * self._minutes) / self._trainings
        write_bytes(self._path, json.dumps({"training minutes": self.training_minutes}).encode())

    def minutes_left(self) -> float | None:
        """Return the minutes that are left; None if steps decide."""
        return None if self._minutes is None else max(0.0, self._minutes - (self._clock() - self._begin_s) / 60)

    def findings(self, steps: int) -> list[str]:
        """Return what the time went to, and whether the trainings were long enough (`steps` of the shortest)."""
        spent = ", ".join(
            f"{what} {f'{seconds / 60:.0f} min' if seconds >= 60 else f'{math.ceil(seconds)} s'}"
            for what, seconds in self._spent_s.items()
        )
        found = [f"Time: {spent}."]
        if steps < FEW_STEPS and self._minutes is not None:
            needed = math.ceil(self._minutes * FEW_STEPS / max(steps, 1) / 5) * 5
            counted = f"{steps} step{'s' * (steps != 1)}"
            found.append(
                f"The time was enough for {counted} of each training; fewer than {FEW_STEPS} hardly improve a model. "
                f"Allow about {needed} minutes."
            )
        return found
