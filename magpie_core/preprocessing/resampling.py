"""Resampling between grids by world coordinates; fast where the axes of both are parallel."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import affine_transform, gaussian_filter

from magpie_core.imaging.geometry import Geometry
from magpie_core.imaging.reorientation import Reorientation
from magpie_core.imaging.volume import Volume

_EXACT = 0.01  # voxels; a shift or drift below this is none
_SAME = 0.05  # voxels; voxels of two grids that are closer are the same


def resample(data: np.ndarray, native: Reorientation, target: Geometry) -> np.ndarray:
    """Values of an image on another grid: linear, smoothed where the target is coarser, 0 beyond the image.

    Args:
        data: (I, J, K) numbers as stored.
        native: The storage order of `data`.
        target: A grid (D, H, W) whose axes are those of the world.

    Returns:
        np.ndarray: (D, H, W) float32, contiguous.
    """
    return resample_reordered(native.apply(data), native.affine, target, aligned=native.aligned)


def resample_nearest(volume: Volume, affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the values of `volume` at the voxel centers of another grid by nearest neighbor, 0 beyond it."""
    to_source = np.linalg.inv(volume.affine) @ affine
    placed: np.ndarray = affine_transform(
        volume.data, to_source[:3, :3], to_source[:3, 3], output_shape=shape, order=0, mode="constant", cval=0
    )
    return placed


def resample_to_grid(volume: Volume, grid: Geometry) -> np.ndarray:
    """Values of an image on a grid in any storage order, (I, J, K) of `grid`, float32; otherwise as `resample`.

    Where the voxels of both lie at the same places (to 0.05 voxels), none is interpolated.
    """
    to_source = np.linalg.inv(volume.affine) @ grid.affine
    exact = np.round(to_source)
    off = np.abs(to_source - exact)[:3] @ [*grid.shape, 1]
    if off.max() <= _SAME and abs(np.linalg.det(exact[:3, :3])) == 1:
        to_source = exact
    return resample_reordered(volume.data, grid.affine @ np.linalg.inv(to_source), grid, aligned=False)


def resample_reordered(data: np.ndarray, affine: np.ndarray, target: Geometry, *, aligned: bool) -> np.ndarray:
    """As `resample`, for data (D, H, W) whose axes run closest to those of the target already.

    Args:
        aligned: Whether the axes of both grids are parallel.
    """
    to_source = np.linalg.inv(affine) @ target.affine
    if aligned:
        return _separable(data, np.diag(to_source)[:3], to_source[:3, 3], target.shape)
    steps = np.linalg.norm(to_source[:3, :3], axis=1)
    source = np.pad(np.asarray(data, np.float32), 1, mode="edge")  # the outer voxels reach beyond their centers
    if (steps > 1 + _EXACT).any():
        sigma = np.sqrt(np.maximum(steps**2 - 1, 0) / 6)  # the variance that the wider triangle would add
        source = gaussian_filter(source, sigma, mode="nearest")
    result: np.ndarray = affine_transform(
        source, to_source[:3, :3], to_source[:3, 3] + 1, output_shape=target.shape, order=1, output=np.float32
    )
    return result


def _separable(data: np.ndarray, steps: np.ndarray, firsts: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Linear interpolation along each axis by itself; output index o reads at `first + o * step`."""
    weights: list[np.ndarray | None] = []
    inside: list[slice] = []
    needed: list[slice] = []
    for size, count, step, first in zip(data.shape, shape, steps, firsts, strict=True):
        shift = round(first)
        if abs(first - shift) <= _EXACT and abs(step - 1) * count <= _EXACT:
            weights.append(None)
            start, stop = max(shift, 0), min(shift + count, size)
            inside.append(slice(start - shift, max(stop, start) - shift))
        else:
            matrix = _triangles(size, count, first, step)
            used = np.flatnonzero(matrix.any(axis=0))
            start, stop = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)
            weights.append(matrix[:, start:stop])
            inside.append(slice(None))
        needed.append(slice(start, max(start, stop)))
    part = data[tuple(needed)]
    if part.size == 0:
        return np.zeros(shape, np.float32)
    if all(matrix is None for matrix in weights):
        result = np.zeros(shape, np.float32)
        result[tuple(inside)] = part
        return result
    part = np.ascontiguousarray(part, np.float32)
    shrinking = sorted(range(3), key=lambda axis: shape[axis] / part.shape[axis])
    for axis in shrinking:
        part = _along(part, axis, weights[axis])
    if part.shape == shape:
        return part
    result = np.zeros(shape, np.float32)
    result[tuple(inside)] = part
    return result


def _triangles(size: int, count: int, first: float, step: float) -> np.ndarray:
    """Weights (count, size) of linear interpolation; the triangle widens where the step exceeds one voxel."""
    places = first + step * np.arange(count)
    within = (places >= -0.5 - _EXACT) & (places <= size - 0.5 + _EXACT)
    places = np.clip(places, 0, size - 1)
    distance = np.abs(places[:, None] - np.arange(size)[None, :]) / max(1.0, step)
    weights = np.clip(1 - distance, 0, None) * within[:, None]
    weights[weights < 1e-6] = 0
    total = weights.sum(axis=1, keepdims=True)
    return (weights / np.where(total > 0, total, 1)).astype(np.float32)


def _along(data: np.ndarray, axis: int, matrix: np.ndarray | None) -> np.ndarray:
    """The matrix applied along one axis of contiguous data (a BLAS product, faster than a gather)."""
    if matrix is None:
        return data
    if axis == 0:
        return (matrix @ data.reshape(len(data), -1)).reshape(len(matrix), *data.shape[1:])
    if axis == 1:
        return np.matmul(matrix, data)
    return data @ np.ascontiguousarray(matrix.T)
