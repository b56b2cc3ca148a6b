"""Slices that motion or noise has spoiled, so that they weigh less in training."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import median_filter

LEAST_WEIGHT = 0.25
_LEAST_VOXELS = 200
_NEIGHBORHOOD_SLICES = 15
_SUSPICIOUS = 2.0
_SPOILED = 4.0


def voxel_weights(images: np.ndarray) -> np.ndarray:
    """How far each voxel can be trusted, judged by how well its slices go with their neighbors.

    A slice differs from the mean of the two beside it by about as much as other slices nearby do. If by more than
    twice as much it loses weight, down to a quarter at four times. Each modality is judged in all three directions,
    since the one it was acquired in is not known after resampling; the modalities' weights are averaged.

    Parameters
    ----------
    images
        (S, D, H, W) scaled, zero outside the brain.

    Returns
    -------
    np.ndarray
        (D, H, W) float32, from `LEAST_WEIGHT` to 1.
    """
    weights = np.zeros(images.shape[1:], np.float32)
    for image in images:
        kept = np.ones(image.shape, np.float32)
        for axis in range(3):
            shape = [1, 1, 1]
            shape[axis] = -1
            kept = np.minimum(kept, _slice_weights(np.moveaxis(image, axis, 0)).reshape(shape))
        weights += kept
    return weights / max(len(images), 1)


def _slice_weights(image: np.ndarray) -> np.ndarray:
    """Weight of each slice along the first axis (D,)."""
    weights = np.ones(len(image), np.float32)
    if len(image) < 3:
        return weights
    inside = image != 0
    common = inside[:-2] & inside[1:-1] & inside[2:]
    counts = common.sum(axis=(1, 2))
    misfit = np.abs(image[1:-1] - (image[:-2] + image[2:]) / 2)
    residual = np.where(common, misfit, 0).sum(axis=(1, 2)) / np.maximum(counts, 1)
    judged = counts >= _LEAST_VOXELS
    if not judged.any():
        return weights
    usual = median_filter(residual[judged], _NEIGHBORHOOD_SLICES, mode="nearest")
    ratio = residual[judged] / np.maximum(usual, 1e-6)
    loss = np.clip((ratio - _SUSPICIOUS) / (_SPOILED - _SUSPICIOUS), 0, 1) * (1 - LEAST_WEIGHT)
    weights[1:-1][judged] = 1 - loss
    return weights
