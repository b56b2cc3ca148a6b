"""Dice, HD95 and surface Dice per region, with the BraTS rule for empty masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from magpie_core.errors import InputError
from magpie_core.imaging.background import bounding_box
from magpie_core.imaging.glioma import Region
from magpie_core.imaging.reorientation import Reorientation
from magpie_core.imaging.segmentation import Segmentation

WORST_HD95_MM = 374.0  # the diagonal of the BraTS grid of 240 x 240 x 155 mm, larger than any brain
_GRID_TOLERANCE_MM = 0.05


def dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Compute the Dice overlap of two masks of one shape: 1 if both are empty, 0 if only one is."""
    both = np.count_nonzero(prediction) + np.count_nonzero(reference)
    if both == 0:
        return 1.0
    return 2 * np.count_nonzero(np.logical_and(prediction, reference)) / both


def hd95_mm(prediction: np.ndarray, reference: np.ndarray, spacing_mm: Sequence[float]) -> float:
    """Compute the 95th percentile Hausdorff distance of the surfaces of two masks (I, J, K).

    The larger of the two directed percentiles, as in MONAI. A surface voxel is one with a face neighbor outside.
    `spacing_mm` is the voxel size along I, J, K. 0 if both masks are empty, 374 if only one is.
    """
    prediction, reference = np.asarray(prediction, bool), np.asarray(reference, bool)
    if not prediction.any() or not reference.any():
        return 0.0 if prediction.any() == reference.any() else WORST_HD95_MM
    distances = _surface_distances(prediction, reference, spacing_mm)
    return max(float(np.percentile(directed, 95)) for directed in distances)


def surface_dice(
    prediction: np.ndarray, reference: np.ndarray, spacing_mm: Sequence[float], *, tolerance_mm: float = 1.0
) -> float:
    """Compute the fraction of both surfaces within a tolerance of the other (Nikolov 2018, by voxels as in MONAI).

    1 if both masks are empty, 0 if only one is. Shapes as in `hd95_mm`.
    """
    prediction, reference = np.asarray(prediction, bool), np.asarray(reference, bool)
    if not prediction.any() or not reference.any():
        return 1.0 if prediction.any() == reference.any() else 0.0
    distances = _surface_distances(prediction, reference, spacing_mm)
    near = sum(np.count_nonzero(directed <= tolerance_mm) for directed in distances)
    return float(near / sum(map(len, distances)))


def evaluate_case(prediction: Segmentation, reference: Segmentation) -> dict[str, dict[str, float]]:
    """Score a segmentation, region by region.

    Returns:
        dict: Region ("ET", "TC", "WT") -> dice, hd95_mm, volume_ml, reference_volume_ml.

    Raises:
        InputError: If the two do not have the same grid in the world (their storage order may differ).
    """
    orders = [Reorientation.of(one.geometry) for one in (prediction, reference)]
    if not orders[0].geometry.matches(orders[1].geometry, _GRID_TOLERANCE_MM):
        raise InputError(
            "The prediction and the reference standard have different grids",
            cause=_difference(orders[0], orders[1]),
            remedy="Resample the prediction to the grid of the reference standard with nearest-neighbor interpolation",
            source=prediction.source or "prediction",
        )
    scores = {}
    for region in Region:
        found = orders[0].apply(prediction.mask(region))
        expected = orders[1].apply(reference.mask(region))
        scores[region.value] = {
            "dice": dice(found, expected),
            "hd95_mm": hd95_mm(found, expected, orders[1].geometry.spacing_mm),
            "volume_ml": prediction.volume_ml(region),
            "reference_volume_ml": reference.volume_ml(region),
        }
    return scores


def _surface_distances(
    one: np.ndarray, other: np.ndarray, spacing_mm: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the distance, mm, of each surface voxel of two masks that are not empty from the other's surface."""
    box = bounding_box(one | other) or ()
    surfaces = [mask[box] & ~ndimage.binary_erosion(mask[box]) for mask in (one, other)]
    distances = [ndimage.distance_transform_edt(~shell, sampling=tuple(spacing_mm)) for shell in surfaces]
    return distances[1][surfaces[0]], distances[0][surfaces[1]]


def _difference(one: Reorientation, other: Reorientation) -> str:
    first, second = one.geometry, other.geometry
    if first.shape != second.shape:
        sizes = [" x ".join(map(str, shape)) for shape in (first.shape, second.shape)]
        return f"{sizes[0]} against {sizes[1]} voxels"
    apart = np.linalg.norm(first.corners_mm() - second.corners_mm(), axis=1).max()
    return f"their corners are up to {apart:.2f} mm apart"
