"""What one step of a training gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from magpie_core.networks.routing import Routing


@dataclass(frozen=True)
class Step:
    """The loss of a step, and what the log should say of it.

    Attributes
    ----------
    loss
        To minimize; scalar.
    figures
        Values by name, the same names at every step; scalar tensors without gradient are read all at once, before
        the optimizer's step.
    routing
        Of every mixture of experts; their load, balance and entropy are logged.
    """

    loss: Tensor
    figures: dict[str, float | Tensor] = field(default_factory=dict)
    routing: tuple[Routing, ...] = ()


class TakesSteps(Protocol):
    """Draws a batch and computes its loss."""

    def __call__(self, forward: Callable[..., Any], spent: float, random: np.random.Generator) -> Step:
        """One step.

        Parameters
        ----------
        forward
            The network, in the precision of the training.
        spent
            Share of the training that is over, 0 to 1.
        random
            The step's own generator, the same in every process.
        """
