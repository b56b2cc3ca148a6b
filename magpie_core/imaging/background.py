"""Background and content of an image, by its values alone."""

from __future__ import annotations

import numpy as np

from magpie_core.imaging.reorientation import Reorientation
from magpie_core.imaging.volume import Volume

_TOLERANCE = 1e-4  # of the largest difference from the background


def background_value(data: np.ndarray) -> tuple[float, float]:
    """Return the most frequent value on the six faces of an image, and the fraction of their voxels that have it."""
    faces = np.concatenate([np.moveaxis(data, axis, 0)[end].ravel() for axis in range(3) for end in (0, -1)])
    values, counts = np.unique(faces, return_counts=True)
    return float(values[counts.argmax()]), float(counts.max() / faces.size)


def content_mask(data: np.ndarray) -> np.ndarray:
    """Return the voxels that differ from the background, bool, the shape of `data`."""
    background, _ = background_value(data)
    reach = max(float(data.max()) - background, background - float(data.min()))
    low, high = background - _TOLERANCE * reach, background + _TOLERANCE * reach
    return np.asarray((data < low) | (data > high))


def content_bounds(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return the first and the last index along each axis of a mask that is not empty."""
    lines = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return [(int(line[0]), int(line[-1])) for line in lines]


def crop_to_content(volume: Volume, *, contrast: float = 0.0) -> np.ndarray:
    """Return an image without its empty margin, axes right, anterior, superior; a view (D, H, W).

    Args:
        contrast: How far the outermost values must differ from the background, as a fraction of the mean difference of
            the content; 0 for at all.
    """
    order = Reorientation.of(volume.geometry)
    mask = content_mask(volume.data)
    if contrast:
        background, _ = background_value(volume.data)
        difference = np.abs(volume.data - np.float32(background))
        mask = difference > contrast * difference.mean(where=mask, dtype=np.float64) if mask.any() else mask
    data, mask = order.apply(volume.data), order.apply(mask)
    if not mask.any():
        return data
    return data[tuple(slice(first, last + 1) for first, last in content_bounds(mask))]
