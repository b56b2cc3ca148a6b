"""Probabilities to a segmentation and the intervals of its volumes, and the measurement of enhancement."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from magpie_core.imaging.glioma import Region, Tissue
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.modality import Modality
from magpie_core.models.description import Postprocessing
from magpie_core.preprocessing.model_grid import ModelGridStudy

NCR, ED, ET = (label_schema("magpie").value(tissue) for tissue in (Tissue.NCR, Tissue.ED, Tissue.ET))
_BRIGHTEST_PERCENT = 90
_MINIMUM_VOXELS = 1000


def regions_to_labels(probabilities: np.ndarray, rules: Postprocessing, *, voxel_volume_ml: float) -> np.ndarray:
    """Return labels (I, J, K) uint8, schema "magpie", from probabilities of ET, TC, WT (3, I, J, K).

    The regions are made to nest (ET in TC in WT). A region below its minimum volume is removed, and its voxels become
    part of the region around it; connected components of the whole tumor below the minimum are removed.
    """
    enhancing, core, whole = (
        field > threshold for field, threshold in zip(probabilities, rules.thresholds, strict=True)
    )
    core |= enhancing
    whole |= core
    if rules.minimum_component_ml > 0:
        components, _ = ndimage.label(whole, structure=np.ones((3, 3, 3)))
        sizes = np.bincount(components.ravel())
        sizes[0] = 0
        whole = (sizes >= rules.minimum_component_ml / voxel_volume_ml)[components]
        core &= whole
        enhancing &= whole
    minimum = [volume_ml / voxel_volume_ml for volume_ml in rules.minimum_volume_ml]
    labels = np.zeros(whole.shape, np.uint8)
    if whole.sum() >= max(minimum[2], 1):
        labels[whole] = ED
        if core.sum() >= minimum[1]:
            labels[core] = NCR
            if enhancing.sum() >= minimum[0]:
                labels[enhancing] = ET
    return labels


def volume_intervals(
    probabilities: np.ndarray, rules: Postprocessing, found_ml: Mapping[Region, float], *, voxel_volume_ml: float
) -> dict[Region, tuple[float, float]]:
    """Return the volumes (low, high), ml, above a higher and a lower threshold than that of the segmentation.

    The thresholds (`Postprocessing.interval_thresholds`) were chosen so that the intervals contained the reference
    volume of nine in ten cases outside the training set. They hold for such studies, with all modalities.

    Args:
        probabilities: (3, I, J, K) of ET, TC, WT.
        found_ml: Volumes of the segmentation, which the intervals always contain.

    Returns:
        dict: Interval by region, for the regions with such thresholds.
    """
    intervals = {}
    for region, field in zip(Region, probabilities, strict=True):
        if region.value in rules.interval_thresholds:
            low, high = (
                float(np.count_nonzero(field > threshold)) * voxel_volume_ml
                for threshold in rules.interval_thresholds[region.value]
            )
            intervals[region] = (min(low, found_ml[region]), max(high, found_ml[region]))
    return intervals


def contrast_uptake(grid: ModelGridStudy, enhancing: np.ndarray, tumor: np.ndarray) -> float | None:
    """Return by how much the enhancing tumor exceeds the T1ce expected from T1, in standard deviations.

    T1ce is predicted from T1 by a line through the tissue outside the tumor. The excess is measured in robust standard
    deviations of that tissue; of the enhancing tumor, whose rim may be thin, the 90th percentile is taken.

    Args:
        enhancing, tumor: (D, H, W) bool: enhancing tumor, and whole tumor, on the model grid.

    Returns:
        float: None if a modality, enhancing tumor, or tissue to compare with is missing.
    """
    if not {Modality.T1, Modality.T1CE} <= set(grid.modalities) or not enhancing.any():
        return None
    plain, contrasted = (grid.images[grid.modalities.index(name)] for name in (Modality.T1, Modality.T1CE))
    normal = grid.brain & ~tumor
    if np.count_nonzero(normal) < _MINIMUM_VOXELS or np.ptp(plain[normal]) == 0:
        return None
    slope, offset = np.polyfit(plain[normal].astype(np.float64), contrasted[normal].astype(np.float64), 1)
    excess = contrasted - (slope * plain + offset)
    middle = np.median(excess[normal])
    deviation = 1.4826 * np.median(np.abs(excess[normal] - middle))
    if not deviation > 0:
        return None
    return float((np.percentile(excess[enhancing], _BRIGHTEST_PERCENT) - middle) / deviation)
