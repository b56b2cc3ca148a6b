"""Bootstrap confidence interval of a mean over cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """Mean with its bootstrap interval, over `count` cases."""

    mean: float
    low: float
    high: float
    count: int


def bootstrap_mean(values: Sequence[float], *, level: float = 0.95, draws: int = 10_000, seed: int = 0) -> Interval:
    """Compute the mean of one value per case, and the percentile bootstrap interval over cases.

    For a paired comparison give the differences. ValueError if there are no values.
    """
    sample = np.asarray(values, float)
    if not len(sample):
        raise ValueError("at least one value is needed")
    rng = np.random.default_rng(seed)
    means = sample[rng.integers(len(sample), size=(draws, len(sample)))].mean(axis=1)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(sample.mean()), float(low), float(high), len(sample))
