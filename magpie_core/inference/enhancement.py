"""Whether what looks like enhancing tumour has taken up contrast agent at all."""

from __future__ import annotations

import numpy as np

from magpie_core.imaging.modality import Sequence
from magpie_core.preprocessing.model_grid import WorkingStudy

_BRIGHTEST_PERCENT = 90
_LEAST_VOXELS = 1000


def contrast_uptake(working: WorkingStudy, enhancing: np.ndarray, tumour: np.ndarray) -> float | None:
    """How much brighter the enhancing tumour is on T1ce than T1 leads to expect.

    T1ce is predicted from T1 by a line through the tissue outside the tumour. What exceeds the line is measured in
    robust standard deviations of that tissue; of the enhancing tumour the 90th percentile counts, because its rim
    may be thin.

    Parameters
    ----------
    enhancing, tumour
        (D, H, W) bool: enhancing tumour, and whole tumour, on the working grid.

    Returns
    -------
    float or None if a sequence, enhancing tumour, or tissue to compare with is missing.
    """
    if not {Sequence.T1, Sequence.T1CE} <= set(working.sequences) or not enhancing.any():
        return None
    plain, contrasted = (working.images[working.sequences.index(s)] for s in (Sequence.T1, Sequence.T1CE))
    normal = working.brain & ~tumour
    if np.count_nonzero(normal) < _LEAST_VOXELS or np.ptp(plain[normal]) == 0:
        return None
    slope, offset = np.polyfit(plain[normal].astype(np.float64), contrasted[normal].astype(np.float64), 1)
    excess = contrasted - (slope * plain + offset)
    middle = np.median(excess[normal])
    deviation = 1.4826 * np.median(np.abs(excess[normal] - middle))
    if not deviation > 0:
        return None
    return float((np.percentile(excess[enhancing], _BRIGHTEST_PERCENT) - middle) / deviation)
