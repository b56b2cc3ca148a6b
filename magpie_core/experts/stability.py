"""Whether the experts of two models, or of two trainings of one, do the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from magpie_core.errors import InputError
from magpie_core.experts.expert_maps import ExpertMaps, match_experts


@dataclass(frozen=True)
class Stability:
    """How two sets of maps of one study go together.

    Attributes
    ----------
    partners
        For each expert of the first the expert of the second that goes with it, each taken once.
    correlations
        Of each pair's maps in the brain.
    by_chance
        Mean correlation of an expert with one that is not its partner.
    same_dominant
        Share of the brain where the expert that was asked most is the partner of the one in the other.
    """

    partners: tuple[int, ...]
    correlations: tuple[float, ...]
    by_chance: float
    same_dominant: float


def stability(one: ExpertMaps, other: ExpertMaps) -> Stability:
    """Match the experts of two sets of maps on one grid, and say how alike they are.

    Raises
    ------
    InputError
        If the maps lie on different grids or have different numbers of experts.
    """
    if not one.geometry.matches(other.geometry) or one.experts != other.experts:
        raise InputError(
            "The maps cannot be compared",
            cause=f"{one.experts} experts on {one.geometry.shape}, {other.experts} on {other.geometry.shape}",
            remedy="Compare maps of one study, of models with as many experts",
        )
    partners = match_experts(one.values, other.values)
    brain = one.values.any(axis=0) & other.values.any(axis=0)
    table = np.nan_to_num(
        np.corrcoef(
            np.concatenate([one.values[:, brain], other.values[partners][:, brain]]).astype(np.float32)
        )
    )[: one.experts, one.experts :]
    dominant = [values[:, brain].argmax(axis=0) for values in (one.values, other.values[partners])]
    others = table[~np.eye(one.experts, dtype=bool)]
    return Stability(
        tuple(int(partner) for partner in partners),
        tuple(float(value) for value in np.diag(table)),
        float(others.mean()) if others.size else 0.0,
        float((dominant[0] == dominant[1]).mean()),
    )
