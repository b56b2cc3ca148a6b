"""Seeded randomness of one sample."""

from __future__ import annotations

import math
import random

import torch


class Rng:
    """All the randomness of one sample; no global random state is read or changed.

    Args:
        *seed: Anything with a stable text form; the same values give the same numbers on every run.
        device: Where tensors are drawn. Other kinds of device give other numbers for the same seed.
    """

    def __init__(self, *seed: object, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self._scalars = random.Random("/".join(str(part) for part in seed))
        self._tensors = torch.Generator(self.device).manual_seed(self._scalars.getrandbits(63))

    def uniform(self, low: float, high: float) -> float:
        """Draw a number between low and high."""
        return self._scalars.uniform(low, high)

    def normal(self, mean: float = 0.0, sd: float = 1.0) -> float:
        """Draw a normally distributed number."""
        return self._scalars.gauss(mean, sd)

    def lognormal(self, median: float, sigma: float) -> float:
        """Draw a positive number whose logarithm has standard deviation sigma."""
        return median * math.exp(self._scalars.gauss(0.0, sigma))

    def bernoulli(self, probability: float) -> bool:
        """Draw True with this probability."""
        return self._scalars.random() < probability

    def randint(self, low: int, high: int) -> int:
        """Draw an integer in [low, high], both included."""
        return self._scalars.randint(low, high)

    def unit_vector(self) -> torch.Tensor:
        """Draw a direction (3,), on the CPU."""
        vector = torch.tensor([self._scalars.gauss(0.0, 1.0) for _ in range(3)])
        return vector / vector.norm().clamp_min(1e-6)

    def randn(self, *shape: int) -> torch.Tensor:
        """Draw independent standard normal numbers, float32, on the device."""
        return torch.randn(*shape, generator=self._tensors, device=self.device)

    def weighted_index(self, weights: torch.Tensor) -> int:
        """Draw a flat index in proportion to non-negative weights."""
        summed = weights.detach().flatten().double().cumsum(0)
        target = self._scalars.random() * float(summed[-1])
        return min(int((summed <= target).sum()), len(summed) - 1)
