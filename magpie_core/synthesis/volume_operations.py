"""Operations on volumes: separable matrix products, Gaussian blur, interpolation at arbitrary points; rotations.

The matrices of the products are made on the CPU, wherever the volume is: launching each of the small steps on a GPU
would take longer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce

import numpy as np
import torch
import torch.nn.functional as functional


def along_axis(volume: torch.Tensor, matrix: torch.Tensor, axis: int) -> torch.Tensor:
    """Multiply every line (n,) of (D, H, W) along an axis by a matrix (m, n)."""
    matrix = matrix.to(volume.device, non_blocking=True)
    if axis == 0:
        return (matrix @ volume.flatten(1)).view(len(matrix), *volume.shape[1:])
    if axis == 1:
        return torch.matmul(matrix, volume)
    return torch.matmul(volume, matrix.T)


def shift_matrix(size: int, shift: float) -> torch.Tensor:
    """Return (size, size): the value at x becomes the linearly interpolated value at x + shift; 0 outside."""
    source = torch.arange(size) + shift
    return (1 - (source[:, None] - torch.arange(size)[None, :]).abs()).clamp_min(0)


def upsampling_matrix(size: int, coarse: int, *, cell: float | None = None) -> torch.Tensor:
    """Return (size, coarse): linear interpolation from voxels of width `cell`, or of the same extent; flat beyond."""
    scale = 1 / cell if cell else coarse / size
    source = ((torch.arange(size) + 0.5) * scale - 0.5).clamp(0, coarse - 1)
    return (1 - (source[:, None] - torch.arange(coarse)[None, :]).abs()).clamp_min(0)


def averaging_matrix(coarse: int, size: int) -> torch.Tensor:
    """Return (coarse, size): means over equal intervals, each voxel weighted by its overlap."""
    ratio = size / coarse
    first = torch.arange(coarse)[:, None] * ratio
    index = torch.arange(size)[None, :]
    overlap = torch.minimum(first + ratio, index + 1.0) - torch.maximum(first, index.float())
    return overlap.clamp_min(0) / ratio


def spline_matrix(size: int, knots: int, spacing: float, start: float) -> torch.Tensor:
    """Return (size, knots): cubic B-splines at knots `spacing` voxels apart, the first at `start`.

    Scaled so that independent unit-normal coefficients give values of unit deviation everywhere.
    """
    index = torch.arange(size)[:, None]
    knot = start + spacing * torch.arange(knots)[None, :]
    distance = (index - knot).abs() / spacing
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance).clamp_min(0) ** 3 / 6
    basis = torch.where(distance < 1, near, far)
    return basis / basis.norm(dim=1, keepdim=True)


def pool(volume: torch.Tensor, factor: int) -> torch.Tensor:
    """Return means of (D, H, W) over cubes of `factor` voxels; incomplete cubes are dropped."""
    return volume if factor == 1 else functional.avg_pool3d(volume[None, None], factor)[0, 0]


def upsample(volume: torch.Tensor, shape: Sequence[int], factor: int) -> torch.Tensor:
    """Upsample (D, H, W) linearly by `factor` to `shape`, which starts at the same corner and may end beyond."""
    for axis, size in enumerate(shape):
        if size != volume.shape[axis]:
            volume = along_axis(volume, upsampling_matrix(size, volume.shape[axis], cell=factor), axis)
    return volume


def blur(volume: torch.Tensor, sigma: float) -> torch.Tensor:
    """Blur (D, H, W) with a separable Gaussian of a deviation in voxels, zero outside; not below 0.2.

    Note:
        Shifted adds are several times faster than a convolution for kernels this short.
    """
    if sigma < 0.2:
        return volume
    reach = max(1, math.ceil(2.2 * sigma))
    weights = [math.exp(-0.5 * (step / sigma) ** 2) for step in range(reach + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    for axis, size in enumerate(volume.shape):
        blurred = volume * (weights[0] / total)
        for step in range(1, min(reach, size - 1) + 1):
            weight = weights[step] / total
            blurred.narrow(axis, step, size - step).add_(volume.narrow(axis, 0, size - step), alpha=weight)
            blurred.narrow(axis, 0, size - step).add_(volume.narrow(axis, step, size - step), alpha=weight)
        volume = blurred
    return volume


def sample_at(
    volume: torch.Tensor, points: torch.Tensor, spacing_mm: float, *, center_mm: Sequence[float] = (0.0, 0.0, 0.0)
) -> torch.Tensor:
    """Return trilinear values (C, d, h, w) of a volume (C, D, H, W) at points (3, d, h, w) in mm; 0 outside."""
    scale = [2.0 / (spacing_mm * n) for n in volume.shape[1:]]
    grid = torch.stack([(points[axis] - center_mm[axis]) * scale[axis] for axis in (2, 1, 0)], dim=-1)
    return functional.grid_sample(volume[None], grid[None], align_corners=False)[0]


def rotation_matrix(angles_rad: Iterable[float]) -> np.ndarray:
    """Return the (3, 3) float64 rotation about the first, second and third axis in turn."""
    return reduce(np.matmul, _axis_rotations(angles_rad), np.eye(3))


def rotation_tensor(angles_rad: Iterable[float]) -> torch.Tensor:
    """Return `rotation_matrix` as (3, 3) float32, multiplied in that precision."""
    steps = (torch.from_numpy(step).float() for step in _axis_rotations(angles_rad))
    return reduce(torch.matmul, steps, torch.eye(3))


def _axis_rotations(angles_rad: Iterable[float]) -> Iterator[np.ndarray]:
    for axis, angle in enumerate(angles_rad):
        i, j = (other for other in range(3) if other != axis)
        step = np.eye(3)
        step[i, i] = step[j, j] = math.cos(angle)
        step[i, j], step[j, i] = -math.sin(angle), math.sin(angle)
        yield step
