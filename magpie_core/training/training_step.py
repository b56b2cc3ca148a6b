"""What a training step takes and gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from magpie_core.networks.routing import Routing


@dataclass(frozen=True)
class StepOutput:
    """The loss of a step, and what is logged of it.

    Attributes:
        loss: To minimize; scalar.
        metrics: Values by name, the same names at every step; scalar tensors without gradient are read all at once,
            before the optimizer's step.
        routing: Of every mixture of experts; their load, balance and entropy are logged.
    """

    loss: Tensor
    metrics: dict[str, float | Tensor] = field(default_factory=dict)
    routing: tuple[Routing, ...] = ()


class TrainingStep(Protocol):
    """Draws a batch and computes its loss."""

    def __call__(self, forward: Callable[..., Any], progress: float, rng: np.random.Generator) -> StepOutput:
        """Compute the loss of one batch with the network's `forward` pass, `progress` (0 to 1) into the training.

        `rng` is the step's own random generator, the same in every rank.
        """
