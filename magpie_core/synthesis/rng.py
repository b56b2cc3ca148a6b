"""Seeded randomness of one sample."""

from __future__ import annotations

import math
import random

import torch


class Rng:
    """All the randomness that one sample draws on; no global random state is read or changed.

    Parameters
    ----------
    *seed
        Anything with a stable text form; the same values give the same numbers on every run.
    device
        Where tensors are drawn. Other kinds of device give other numbers for the same seed.
    """

    def __init__(self, *seed: object, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self._scalars = random.Random("/".join(str(part) for part in seed))
        self._tensors = torch.Generator(self.device).manual_seed(self._scalars.getrandbits(63))

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

    def direction(self) -> torch.Tensor:
        """A unit vector (3,) of any direction, on the CPU."""
        vector = torch.tensor([self._scalars.gauss(0.0, 1.0) for _ in range(3)])
        return vector / vector.norm().clamp_min(1e-6)

    def normals(self, *shape: int) -> torch.Tensor:
        """Independent standard normal numbers, float32, on the device."""
        return torch.randn(*shape, generator=self._tensors, device=self.device)

    def pick(self, weights: torch.Tensor) -> int:
        """Flat index into non-negative weights, drawn in proportion to them."""
        summed = weights.detach().flatten().double().cumsum(0)
        wanted = self._scalars.random() * float(summed[-1])
        return min(int((summed <= wanted).sum()), len(summed) - 1)
