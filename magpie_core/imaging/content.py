"""What an image shows, whatever order it is stored in."""

from __future__ import annotations

import numpy as np

from magpie_core.imaging.background import background_value, content_mask
from magpie_core.imaging.reorientation import Reordering
from magpie_core.imaging.volume import Volume


def content(volume: Volume, *, clear: float = 0.0) -> np.ndarray:
    """The values of an image without its empty margin, axes right, anterior, superior; a view (D, H, W).

    Parameters
    ----------
    volume
        Any image.
    clear
        How far the outermost values must differ from the background, as a share of the mean difference; 0 for at all.
    """
    order = Reordering.of(volume.geometry)
    mask = content_mask(volume.data)
    if clear:
        background, _ = background_value(volume.data)
        apart = np.abs(volume.data - np.float32(background))
        mask = apart > clear * apart.mean(where=mask, dtype=np.float64) if mask.any() else mask
    data, mask = order.apply(volume.data), order.apply(mask)
    if not mask.any():
        return data
    lines = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return data[tuple(slice(line[0], line[-1] + 1) for line in lines)]
