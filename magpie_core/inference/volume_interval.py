"""Between which volumes the true one probably lies."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from magpie_core.imaging.glioma import Region
from magpie_core.models.description import Postprocessing

REGIONS = (Region.ET, Region.TC, Region.WT)


def volume_intervals(
    probabilities: np.ndarray, rules: Postprocessing, found_ml: Mapping[Region, float], *, voxel_volume_ml: float
) -> dict[Region, tuple[float, float]]:
    """For each region the volumes above a stricter and a laxer threshold than that of its outline.

    The two thresholds are the model's (`Postprocessing.interval_thresholds`): chosen so that the true volumes of nine
    in ten cases that did not teach it lay between. They hold for studies like those, with all modalities.

    Args:
        probabilities: (3, I, J, K) of ET, TC, WT.
        found_ml: Volumes of the outlines, which the intervals always contain.

    Returns:
        dict: Region -> (low, high) in ml, for the regions of which the model knows thresholds.
    """
    intervals = {}
    for region, field in zip(REGIONS, probabilities, strict=True):
        if region.value not in rules.interval_thresholds:
            continue
        strict, lax = rules.interval_thresholds[region.value]
        low, high = (float(np.count_nonzero(field > threshold)) * voxel_volume_ml for threshold in (strict, lax))
        found = found_ml[region]
        intervals[region] = (min(low, found), max(high, found))
    return intervals
