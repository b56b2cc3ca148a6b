"""From region probabilities to one label a voxel."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from magpie_core.imaging.glioma import Tissue
from magpie_core.imaging.label_schema import label_schema
from magpie_core.models.description import Postprocessing

NCR, ED, ET = (label_schema("magpie").value(tissue) for tissue in (Tissue.NCR, Tissue.ED, Tissue.ET))


def regions_to_labels(probabilities: np.ndarray, rules: Postprocessing, *, voxel_volume_ml: float) -> np.ndarray:
    """Labels (I, J, K) uint8, schema "magpie", from probabilities of ET, TC, WT (3, I, J, K).

    The regions are made to nest (ET inside TC inside WT). A region below its smallest volume is called none, and
    its voxels go to the region around it; parts of the whole tumor below the smallest component are dropped.
    """
    enhancing, core, whole = (
        field > threshold for field, threshold in zip(probabilities, rules.thresholds, strict=True)
    )
    if rules.minimum_component_ml > 0:
        whole = _without_small_parts(whole | core | enhancing, rules.minimum_component_ml / voxel_volume_ml)
        core &= whole
        enhancing &= whole
    smallest = [volume_ml / voxel_volume_ml for volume_ml in rules.minimum_volume_ml]
    labels = np.zeros(whole.shape, np.uint8)
    core = core | enhancing
    whole = whole | core
    if whole.sum() >= max(smallest[2], 1):
        labels[whole] = ED
        if core.sum() >= smallest[1]:
            labels[core] = NCR
            if enhancing.sum() >= smallest[0]:
                labels[enhancing] = ET
    return labels


def _without_small_parts(mask: np.ndarray, smallest_voxels: float) -> np.ndarray:
    parts, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    if count == 0:
        return mask
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    kept: np.ndarray = (sizes >= smallest_voxels)[parts]
    return kept
