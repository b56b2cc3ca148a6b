"""Lower loss weights for slices corrupted by motion or noise."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import median_filter

LEAST_WEIGHT = 0.25
_LEAST_VOXELS = 200
_NEIGHBORHOOD_SLICES = 15
_SUSPICIOUS = 2.0
_CORRUPTED = 4.0


def voxel_weights(images: np.ndarray) -> np.ndarray:
    """Compute a loss weight for each voxel, from how consistent its slices are with their neighbors.

    A slice differs from the mean of its two neighbors by about as much as other slices nearby do. If it differs by more
    than twice as much its weight is lowered, to a quarter at four times. Each modality is tested along all three axes,
    since the acquisition axis is not known after resampling; the weights are averaged over modalities.

    Args:
        images: (S, D, H, W) normalized, zero outside the brain.

    Returns:
        np.ndarray: (D, H, W) float32, from `LEAST_WEIGHT` to 1.
    """
    weights = np.zeros(images.shape[1:], np.float32)
    for image in images:
        kept = np.ones(image.shape, np.float32)
        for axis in range(3):
            others = tuple({0, 1, 2} - {axis})
            kept = np.minimum(kept, np.expand_dims(_slice_weights(np.moveaxis(image, axis, 0)), others))
        weights += kept
    return weights / max(len(images), 1)


def _slice_weights(image: np.ndarray) -> np.ndarray:
    """Compute the weight of each slice along the first axis (D,)."""
    weights = np.ones(len(image), np.float32)
    if len(image) < 3:
        return weights
    inside = image != 0
    common = inside[:-2] & inside[1:-1] & inside[2:]
    counts = common.sum(axis=(1, 2))
    difference = np.abs(image[1:-1] - (image[:-2] + image[2:]) / 2)
    residual = np.where(common, difference, 0).sum(axis=(1, 2)) / np.maximum(counts, 1)
    tested = counts >= _LEAST_VOXELS
    if not tested.any():
        return weights
    typical = median_filter(residual[tested], _NEIGHBORHOOD_SLICES, mode="nearest")
    ratio = residual[tested] / np.maximum(typical, 1e-6)
    loss = np.clip((ratio - _SUSPICIOUS) / (_CORRUPTED - _SUSPICIOUS), 0, 1) * (1 - LEAST_WEIGHT)
    weights[1:-1][tested] = 1 - loss
    return weights
