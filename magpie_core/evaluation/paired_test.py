"""Whether a paired change is an improvement: tests that hold with few patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from scipy import stats

LEAST_PAIRS = 6  # with fewer, not even a gain in every pair has a probability below ERROR if there is none
ERROR = 0.02  # probability that a change without a mean gain passes, one-sided; benchmarks/gate.py measures it
_MOST_EXACT = 14  # pairs whose signs are all tried; of more, a sample is
_SAMPLES = 20_000


@dataclass(frozen=True)
class PairedChange:
    """The mean change over pairs.

    Attributes:
        low, high: Confidence interval (Student) of level 1 - 2 * ERROR; None for fewer than two pairs.
        p: Greater of the one-sided probabilities of the exact sign-flip test and of Student's test.
        count: Number of pairs.
    """

    mean: float
    low: float | None
    high: float | None
    p: float
    count: int

    @property
    def is_improvement(self) -> bool:
        """Whether both tests find a gain."""
        return self.p <= ERROR

    @property
    def is_loss(self) -> bool:
        """Whether the interval lies below zero."""
        return self.high is not None and self.high < 0


def paired_change(changes: Sequence[float]) -> PairedChange:
    """Compute the mean of one change per patient, its interval, and whether it is more than chance.

    The sign-flip test is exact if gains and losses of one size are equally likely without an improvement; Student's
    test protects where many small gains hide a few losses. Both must find a gain. (A percentile bootstrap passes 12 %
    of candidates that are no better with 3 patients.)

    Raises:
        ValueError: If there are no changes, or one is not finite.
    """
    values = np.asarray(changes, float)
    count = len(values)
    if not count or not np.isfinite(values).all():
        raise ValueError("finite changes are needed, at least one")
    mean = float(values.mean())
    if count == 1:
        return PairedChange(mean, None, None, 1.0, count)
    error = float(values.std(ddof=1)) / count**0.5
    reach = float(stats.t.ppf(1 - ERROR, count - 1)) * error
    p_student = float(stats.t.sf(mean / error, count - 1)) if error else float(mean <= 0)
    return PairedChange(mean, mean - reach, mean + reach, max(p_student, _sign_flip(values)), count)


def _sign_flip(values: np.ndarray) -> float:
    """Return how often random signs give the pairs a mean of at least what was seen."""
    sums = _signs(len(values)) @ np.abs(values)
    return float((sums >= values.sum() - 1e-12 * np.abs(values).sum()).mean())


@lru_cache(maxsize=4)
def _signs(count: int) -> np.ndarray:
    """Return all signs of `count` pairs, or a sample of them that holds all pluses, (N, count) of 1 and -1."""
    if count <= _MOST_EXACT:
        return np.array(list(product((1.0, -1.0), repeat=count)))
    signs = np.random.default_rng(0).choice(np.array([1.0, -1.0]), (_SAMPLES, count))
    signs[0] = 1
    return signs
