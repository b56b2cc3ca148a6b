"""Dice and HD95 per region, with the BraTS rule for empty masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from magpie_core.errors import InputError
from magpie_core.imaging.label_schema import Region
from magpie_core.imaging.reorientation import Reordering
from magpie_core.imaging.segmentation import Segmentation

WORST_HD95_MM = 374.0  # the diagonal of the BraTS grid of 240 x 240 x 155 mm, larger than any brain
GRID_TOLERANCE_MM = 0.05


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Dice overlap of two masks of one shape: 1 if both are empty, 0 if only one is."""
    both = np.count_nonzero(prediction) + np.count_nonzero(truth)
    if both == 0:
        return 1.0
    return 2 * np.count_nonzero(np.logical_and(prediction, truth)) / both


def hd95_mm(prediction: np.ndarray, truth: np.ndarray, spacing_mm: Sequence[float]) -> float:
    """95th percentile Hausdorff distance between the surfaces of two masks.

    The larger of the two directed percentiles, as in MONAI. A surface voxel is one with a face neighbor outside.

    Parameters
    ----------
    prediction, truth
        (I, J, K) masks.
    spacing_mm
        Voxel size along I, J, K.

    Returns
    -------
    float
        0 if both masks are empty, 374 if only one is.
    """
    prediction, truth = np.asarray(prediction, bool), np.asarray(truth, bool)
    if not prediction.any() or not truth.any():
        return 0.0 if prediction.any() == truth.any() else WORST_HD95_MM
    box = ndimage.find_objects((prediction | truth).astype(np.uint8))[0]
    one, other = surface(prediction[box]), surface(truth[box])
    return max(_directed(one, other, spacing_mm), _directed(other, one, spacing_mm))


def evaluate_case(prediction: Segmentation, truth: Segmentation) -> dict[str, dict[str, float]]:
    """Score a segmentation, region by region.

    Returns
    -------
    dict
        Region ("ET", "TC", "WT") -> dice, hd95_mm, volume_ml, truth_volume_ml.

    Raises
    ------
    InputError
        If the two do not lie on the same voxels in the world (their storage order may differ).
    """
    orders = [Reordering.of(one.geometry) for one in (prediction, truth)]
    if not orders[0].geometry.matches(orders[1].geometry, GRID_TOLERANCE_MM):
        raise InputError(
            "The prediction and the truth lie on different grids",
            cause=_difference(orders[0], orders[1]),
            remedy="Resample the prediction onto the grid of the truth by world coordinates, nearest neighbor",
            source=prediction.source or "prediction",
        )
    scores = {}
    for region in Region:
        found = orders[0].apply(prediction.mask(region))
        real = orders[1].apply(truth.mask(region))
        scores[region.value] = {
            "dice": dice(found, real),
            "hd95_mm": hd95_mm(found, real, orders[1].geometry.spacing_mm),
            "volume_ml": prediction.volume_ml(region),
            "truth_volume_ml": truth.volume_ml(region),
        }
    return scores


def surface(mask: np.ndarray) -> np.ndarray:
    """Voxels of a mask that have a face neighbor outside it."""
    shell: np.ndarray = mask & ~ndimage.binary_erosion(mask)
    return shell


def _directed(start: np.ndarray, goal: np.ndarray, spacing_mm: Sequence[float]) -> float:
    distances = ndimage.distance_transform_edt(~goal, sampling=tuple(spacing_mm))
    return float(np.percentile(distances[start], 95))


def _difference(one: Reordering, other: Reordering) -> str:
    first, second = one.geometry, other.geometry
    if first.shape != second.shape:
        sizes = [" x ".join(map(str, shape)) for shape in (first.shape, second.shape)]
        return f"{sizes[0]} against {sizes[1]} voxels"
    apart = np.linalg.norm(first.corners_mm() - second.corners_mm(), axis=1).max()
    return f"their corners are up to {apart:.2f} mm apart"
