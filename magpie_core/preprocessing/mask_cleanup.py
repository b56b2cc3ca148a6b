"""The brain in images whose skull was removed."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

_SMALLEST_PART = 0.02  # of the largest part; less is noise or a remnant of skull stripping


def main_parts(mask: np.ndarray, *, largest: bool = False) -> np.ndarray:
    """A mask without its small loose parts (or with its largest alone), its holes filled, bool (D, H, W)."""
    labels, count = ndimage.label(mask)
    if count > 1:
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        mask = (sizes >= (1 if largest else _SMALLEST_PART) * sizes.max())[labels]
    # Holes are what the outside cannot reach; one padded voxel joins the outside all around.
    outside, count = ndimage.label(np.pad(~mask, 1, constant_values=True))
    if count > 1:
        mask = (outside != outside[0, 0, 0])[1:-1, 1:-1, 1:-1]
    return mask
