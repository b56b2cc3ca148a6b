"""Whether what looks like enhancing tumor has taken up contrast agent at all."""

from __future__ import annotations

import numpy as np

from magpie_core.imaging.modality import Modality
from magpie_core.preprocessing.model_grid import ModelGridStudy

_BRIGHTEST_PERCENT = 90
_LEAST_VOXELS = 1000


def contrast_uptake(working: ModelGridStudy, enhancing: np.ndarray, tumor: np.ndarray) -> float | None:
    """How much brighter the enhancing tumor is on T1ce than T1 leads to expect.

    T1ce is predicted from T1 by a line through the tissue outside the tumor. What exceeds the line is measured in
    robust standard deviations of that tissue; of the enhancing tumor the 90th percentile counts, because its rim
    may be thin.

    Args:
        enhancing, tumor: (D, H, W) bool: enhancing tumor, and whole tumor, on the working grid.

    Returns:
        float or None if a modality, enhancing tumor, or tissue to compare with is missing.
    """
    if not {Modality.T1, Modality.T1CE} <= set(working.modalities) or not enhancing.any():
        return None
    plain, contrasted = (working.images[working.modalities.index(s)] for s in (Modality.T1, Modality.T1CE))
    normal = working.brain & ~tumor
    if np.count_nonzero(normal) < _LEAST_VOXELS or np.ptp(plain[normal]) == 0:
        return None
    slope, offset = np.polyfit(plain[normal].astype(np.float64), contrasted[normal].astype(np.float64), 1)
    excess = contrasted - (slope * plain + offset)
    middle = np.median(excess[normal])
    deviation = 1.4826 * np.median(np.abs(excess[normal] - middle))
    if not deviation > 0:
        return None
    return float((np.percentile(excess[enhancing], _BRIGHTEST_PERCENT) - middle) / deviation)
