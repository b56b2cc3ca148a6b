"""Gray values brought to a common scale."""

from __future__ import annotations

import numpy as np

_PERCENTILES = (0.1, 99.9)
_RANGE = (-4.0, 6.0)


def scale_intensities(image: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Scale an image by the values inside the brain, so that scanner and field strength matter less.

    Values are cut at their 0.1st and 99.9th percentile, shifted and scaled to mean 0 and standard
    deviation 1, and cut to -4 ... 6.

    Args:
        image: (D, H, W) numbers.
        brain: (D, H, W) bool, the voxels to judge by.

    Returns:
        np.ndarray: (D, H, W) float32; 0 outside the brain, and everywhere if the image is constant in it.
    """
    scaled = np.zeros(image.shape, np.float32)
    values = image[brain].astype(np.float32, copy=False)
    if not values.size:
        return scaled
    ranks = [round(percent / 100 * (values.size - 1)) for percent in _PERCENTILES]
    ordered = np.partition(values, ranks)
    np.clip(values, ordered[ranks[0]], ordered[ranks[1]], out=values)
    mean = values.mean(dtype=np.float64)
    deviation = values.std(dtype=np.float64)
    if not deviation > 1e-6 * max(abs(mean), 1e-20):
        return scaled
    values -= np.float32(mean)
    values *= np.float32(1 / deviation)
    np.clip(values, *_RANGE, out=values)
    scaled[brain] = values
    return scaled
