"""Background and content of an image, by its values alone, and hashes of the content.

The fingerprint recognizes exact copies, the perceptual hash altered ones.
"""

from __future__ import annotations

import hashlib

import numpy as np
from scipy import ndimage

from magpie_core.imaging.reorientation import Reorientation
from magpie_core.imaging.volume import Volume

_TOLERANCE = 1e-4  # of the largest difference from the background
_HASH_SIZE = 16
_HASH_CONTRAST = 0.3


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


def bounding_box(mask: np.ndarray) -> tuple[slice, ...] | None:
    """Return the smallest box that holds a mask (I, J, K) bool; None if it is empty."""
    return next(iter(ndimage.find_objects(np.asarray(mask, bool).view(np.uint8))), None)


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
    return data[bounding_box(mask) or ()]


def fingerprint(volume: Volume) -> str:
    """Return a hash of the content of an image, 64 hexadecimal digits.

    The same for copies that differ in name, compression, axis order, number type, brightness and contrast, place in
    the world, or in how much empty background surrounds the content. Different for images that were resampled,
    smoothed or cropped inside the content; `perceptual_hash` recognizes those.
    """
    data = crop_to_content(volume)
    # The ranks of the values do not change with brightness or contrast.
    _, ranks = np.unique(data[::3, ::3, ::3], return_inverse=True)
    digest = hashlib.sha256(repr(data.shape).encode())
    digest.update(np.ascontiguousarray(ranks, dtype="<u4").tobytes())
    return digest.hexdigest()


def perceptual_hash(volume: Volume) -> np.ndarray:
    """Return the content of an image averaged to (16, 16, 16) uint8, axes right, anterior, superior.

    The correlation of two hashes separates altered copies from images of other people. In 29 brains without skull it
    was at most 0.972 between two patients; between an image and copies of half its resolution, smoothed (1 mm), cut by
    3 mm, clipped at the 98th percentile, rotated by 4 degrees or noisy (5 % of the largest value) at least 0.981.
    """
    data = crop_to_content(volume, contrast=_HASH_CONTRAST).astype(np.float32)
    for axis, count in enumerate(data.shape):
        data = np.moveaxis(np.tensordot(_parts(count), data, axes=(1, axis)), 0, axis)
    low, high = float(data.min()), float(data.max())
    return np.asarray(np.rint((data - low) * (255 / ((high - low) or 1)))).astype(np.uint8)


def similarities(hashes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the correlation of each perceptual hash, a row of (N, V) uint8, with each of (M, V): (N, M) float32."""
    one, other = (rows - rows.mean(axis=1, keepdims=True, dtype=np.float32) for rows in (hashes, others))
    lengths = (np.maximum(np.linalg.norm(rows, axis=1), 1e-6) for rows in (one, other))
    return np.asarray(one @ other.T / np.outer(*lengths), np.float32)


def _parts(count: int) -> np.ndarray:
    """Return the weight of each of `count` voxels in each of 16 parts, (16, count) float32."""
    ends = np.linspace(0, count, _HASH_SIZE + 1)
    start = np.arange(count)
    overlap = np.minimum(ends[1:, None], start + 1) - np.maximum(ends[:-1, None], start)
    return (np.clip(overlap, 0, None) * _HASH_SIZE / count).astype(np.float32)
