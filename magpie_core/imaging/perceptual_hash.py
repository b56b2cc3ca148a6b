"""A tiny version of an image, by which altered copies of it are recognized."""

from __future__ import annotations

import numpy as np

from magpie_core.imaging.content import content
from magpie_core.imaging.volume import Volume

_SIZE = 16
_CLEAR = 0.3


def perceptual_hash(volume: Volume) -> np.ndarray:
    """Mean values in 16 x 16 x 16 parts of what an image shows, (16, 16, 16) uint8, axes as in `content`.

    The correlation of two thumbnails tells altered copies from other people's images. In 29 brains without skull it
    was at most 0.972 between two patients; between an image and copies of half its resolution, smoothed (1 mm), cut by
    3 mm, clipped at the 98th percentile, turned by 4 degrees or noisy (5 % of the largest value) at least 0.981.
    """
    data = content(volume, clear=_CLEAR).astype(np.float32)
    for axis, count in enumerate(data.shape):
        data = np.moveaxis(np.tensordot(_parts(count), data, axes=(1, axis)), 0, axis)
    low, high = float(data.min()), float(data.max())
    tiny: np.ndarray = np.rint((data - low) * (255 / ((high - low) or 1))).astype(np.uint8)
    return tiny


def _parts(count: int) -> np.ndarray:
    """Share of each of `count` voxels in each part, (16, count) float32."""
    ends = np.linspace(0, count, _SIZE + 1)
    start = np.arange(count)
    overlap = np.minimum(ends[1:, None], start + 1) - np.maximum(ends[:-1, None], start)
    return (np.clip(overlap, 0, None) * _SIZE / count).astype(np.float32)
