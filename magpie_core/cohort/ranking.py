"""Which studies to annotate next."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from magpie_core.errors import InputError


def rank_studies(
    scores: Mapping[str, float], *, random_share: float = 0.25, seed: int = 0
) -> list[tuple[str, str]]:
    """Order unlabeled studies: the most uncertain first, every few one at random.

    Uncertainty alone would pick the odd and the broken; the random share keeps the choice honest.

    Parameters
    ----------
    scores
        Uncertainty of each study, higher for more; see `inference.uncertainty`.
    random_share
        Share of places that are filled at random, 0 to 1.

    Returns
    -------
    list
        (study, "uncertain" or "random"), each study once.

    Raises
    ------
    InputError
        If the share is impossible or a score is no number.
    """
    if not 0 <= random_share <= 1 or not all(np.isfinite(value) for value in scores.values()):
        raise InputError(
            "The studies cannot be ranked", cause="a score is no number, or the share is impossible"
        )
    random = np.random.default_rng(seed)
    waiting = sorted(scores, key=lambda name: (-scores[name], name))
    order: list[tuple[str, str]] = []
    drawn = 0
    while waiting:
        by_chance = drawn < int(random_share * (len(order) + 1) + 1e-9)
        place = int(random.integers(len(waiting))) if by_chance else 0
        order.append((waiting.pop(place), "random" if by_chance else "uncertain"))
        drawn += by_chance
    return order
