"""Seeded randomness of one sample."""

from __future__ import annotations

import math
import random

import torch


class Chance:
    """All the randomness that one sample draws on; no global random state is read or changed.

    Parameters
    ----------
    *seed
        Anything with a stable text form; the same values give the same numbers on every machine and run.
    """

    def __init__(self, *seed: object) -> None:
        self._scalars = random.Random("/".join(str(part) for part in seed))
        self._tensors = torch.Generator().manual_seed(self._scalars.getrandbits(63))

    def uniform(self, low: float, high: float) -> float:
        """A number between low and high."""
        return self._scalars.uniform(low, high)

    def normal(self, mean: float = 0.0, sd: float = 1.0) -> float:
        """A normally distributed number."""
        return self._scalars.gauss(mean, sd)

    def lognormal(self, median: float, sigma: float) -> float:
        """A positive number whose logarithm has standard deviation sigma."""
        return median * math.exp(self._scalars.gauss(0.0, sigma))

    def happens(self, probability: float) -> bool:
        """Whether an event of this probability takes place."""
        return self._scalars.random() < probability

    def below(self, stop: int) -> int:
        """An integer in [0, stop)."""
        return self._scalars.randrange(stop)

    def between(self, low: int, high: int) -> int:
        """An integer in [low, high], both included."""
        return self._scalars.randint(low, high)

    def normals(self, *shape: int) -> torch.Tensor:
        """Independent standard normal numbers, float32."""
        return torch.randn(*shape, generator=self._tensors)

    def pick(self, weights: torch.Tensor) -> int:
        """Flat index into non-negative weights, drawn in proportion to them."""
        return int(torch.multinomial(weights.flatten(), 1, generator=self._tensors))
