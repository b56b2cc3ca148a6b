"""What is done after the steps of a training: evaluation, early stopping."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from magpie_core.training import distributed
from magpie_core.training.train_state import TrainState
from magpie_core.training.validation import DiceValidator


class Callback:
    """Acts after each step, in every rank; collective operations are allowed.

    Attributes:
        name: Of what it remembers, in the checkpoints.
    """

    name = ""

    def after_step(self, state: TrainState) -> None:
        """Act."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training has to know: plain values."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Remember what `state_dict` returned."""


class Evaluation(Callback):
    """Measures the EMA weights every so many steps, in rank 0 alone; the metrics go into the log."""

    name = "evaluation"

    def __init__(self, measure: Callable[[nn.Module, int], dict[str, float]], every_steps: int) -> None:
        self._measure, self._every_steps = measure, every_steps

    def after_step(self, state: TrainState) -> None:
        """Measure, if it is time."""
        if state.step % self._every_steps == 0:
            network = state.gather_ema()
            if distributed.rank() == 0:
                state.validation |= self._measure(network, state.step)


class EarlyStopping(Callback):
    """Ends a training whose mean Dice on validation samples has not risen for long; the best weights are the result."""

    name = "early_stopping"

    def __init__(self, validator: DiceValidator) -> None:
        self._validator = validator
        self._best_score, self._checks_since_best = -1.0, 0

    def after_step(self, state: TrainState) -> None:
        """Validate, if it is time."""
        if state.step % self._validator.every_steps:
            return
        network = state.gather_ema()
        score = self._validator.score(network) if distributed.rank() == 0 else math.nan
        score = distributed.broadcast(score, state.device)
        state.validation |= {"validation_dice": score}
        self._checks_since_best += 1
        if score > self._best_score:
            state.best = {name: value.clone() for name, value in state.ema_weights().items()}
            self._best_score, self._checks_since_best = score, 0
        state.is_ended = self._checks_since_best >= self._validator.patience

    def state_dict(self) -> dict[str, Any]:
        """Return the best mean Dice, and the number of validations since."""
        return {"best_score": self._best_score, "checks_since_best": self._checks_since_best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue."""
        self._best_score, self._checks_since_best = state["best_score"], state["checks_since_best"]
