"""Check a corrected segmentation and measure the correction."""

from __future__ import annotations

import numpy as np

from magpie_core.errors import InputError
from magpie_core.imaging.glioma import Region
from magpie_core.imaging.label_schema import SCHEMAS
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study

_GRID_TOLERANCE_MM = 0.05


def edited_fraction(proposal: Segmentation, correction: Segmentation) -> float:
    """Return the fraction of the tumor (union of both) whose label was changed, 0 to 1.

    Raises:
        InputError: If the two lie on different grids.
    """
    if not proposal.geometry.matches(correction.geometry, _GRID_TOLERANCE_MM):
        raise InputError("The proposal and the correction lie on different grids", source=correction.source)
    before, after = (one.schema.convert(one.labels, SCHEMAS["magpie"]) for one in (proposal, correction))
    union = int(np.count_nonzero((before > 0) | (after > 0)))
    return float(np.count_nonzero(before != after) / union) if union else 0.0


def check_segmentation(study: Study, segmentation: Segmentation) -> None:
    """Raise InputError if a segmentation lies on no grid of the study, or a region fills the whole image."""
    geometry = segmentation.geometry
    if not any(volume.geometry.matches(geometry, _GRID_TOLERANCE_MM) for volume in study.volumes.values()):
        raise InputError(
            "The segmentation lies on another grid than the images",
            cause=f"its size is {' x '.join(map(str, geometry.shape))}",
            remedy="Export it on the grid of one of the modalities",
            source=segmentation.source or study.name,
        )
    for region in Region:
        if segmentation.mask(region).all():
            raise InputError(f"The segmentation is {region.label.lower()} everywhere", source=segmentation.source)
