"""Normalized surface Dice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from magpie_core.evaluation.region_metrics import surface


def surface_dice(
    prediction: np.ndarray, truth: np.ndarray, spacing_mm: Sequence[float], *, tolerance_mm: float = 1.0
) -> float:
    """Share of both surfaces that lies within a tolerance of the other (Nikolov 2018, by surface voxels as MONAI).

    1 if both masks are empty, 0 if only one is. Shapes as in `hd95_mm`.
    """
    prediction, truth = np.asarray(prediction, bool), np.asarray(truth, bool)
    if not prediction.any() or not truth.any():
        return 1.0 if prediction.any() == truth.any() else 0.0
    box = ndimage.find_objects((prediction | truth).astype(np.uint8))[0]
    one, other = surface(prediction[box]), surface(truth[box])
    near = sum(
        np.count_nonzero(ndimage.distance_transform_edt(~target, sampling=spacing_mm)[origin] <= tolerance_mm)
        for origin, target in ((one, other), (other, one))
    )
    return float(near / (np.count_nonzero(one) + np.count_nonzero(other)))
