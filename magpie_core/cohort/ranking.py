"""Rank the studies to annotate next."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from magpie_core.errors import InputError


def rank_studies(scores: Mapping[str, float], *, random_fraction: float = 0.25, seed: int = 0) -> list[tuple[str, str]]:
    """Rank unlabeled studies: the most uncertain first, and a fraction at random.

    Uncertainty alone would pick the unusual and the faulty.

    Args:
        scores: Uncertainty of each study, higher for more; see `inference.uncertainty`.
        random_fraction: Fraction of ranks that are filled at random, 0 to 1.

    Returns:
        list: (study, "uncertain" or "random"), each study once.

    Raises:
        InputError: If the fraction is out of range or a score is not finite.
    """
    if not 0 <= random_fraction <= 1 or not all(map(np.isfinite, scores.values())):
        cause = "a score is not finite, or the random fraction is not in 0 to 1"
        raise InputError("Cannot rank the studies", cause=cause)
    random = np.random.default_rng(seed)
    remaining = sorted(scores, key=lambda name: (-scores[name], name))
    order: list[tuple[str, str]] = []
    drawn = 0
    while remaining:
        at_random = drawn < int(random_fraction * (len(order) + 1) + 1e-9)
        place = int(random.integers(len(remaining))) if at_random else 0
        order.append((remaining.pop(place), "random" if at_random else "uncertain"))
        drawn += at_random
    return order
