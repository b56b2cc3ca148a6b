"""What in an image is background, as far as its values alone tell."""

from __future__ import annotations

import numpy as np

_TOLERANCE = 1e-4  # of the largest difference from the background


def background_value(data: np.ndarray) -> tuple[float, float]:
    """The value an image has outside, judged by its six faces.

    Returns
    -------
    tuple
        The most frequent value on the faces, and the share of the faces' voxels that have it.
    """
    faces = np.concatenate([np.moveaxis(data, axis, 0)[end].ravel() for axis in range(3) for end in (0, -1)])
    values, counts = np.unique(faces, return_counts=True)
    return float(values[counts.argmax()]), float(counts.max() / faces.size)


def content_mask(data: np.ndarray) -> np.ndarray:
    """Voxels that differ from the background, bool, the shape of `data`."""
    background, _ = background_value(data)
    reach = max(float(data.max()) - background, background - float(data.min()))
    low, high = background - _TOLERANCE * reach, background + _TOLERANCE * reach
    mask: np.ndarray = (data < low) | (data > high)
    return mask
