"""Separable operations on volumes as matrix products, one axis at a time.

The matrices are made in the processor's memory, wherever the volume is: to tell a graphics card each of the small steps
would take longer.
"""

from __future__ import annotations

import torch


def along_axis(volume: torch.Tensor, matrix: torch.Tensor, axis: int) -> torch.Tensor:
    """Replace every line (n,) of (D, H, W) along an axis by matrix (m, n) @ line."""
    matrix = matrix.to(volume.device, non_blocking=True)
    if axis == 0:
        return (matrix @ volume.flatten(1)).view(len(matrix), *volume.shape[1:])
    if axis == 1:
        return torch.matmul(matrix, volume)
    return torch.matmul(volume, matrix.T)


def shift_matrix(size: int, shift: float) -> torch.Tensor:
    """(size, size): value at x becomes the linearly interpolated value at x + shift; 0 outside."""
    wanted = torch.arange(size) + shift
    return (1 - (wanted[:, None] - torch.arange(size)[None, :]).abs()).clamp_min(0)


def enlarging_matrix(size: int, coarse: int, *, cell: float | None = None) -> torch.Tensor:
    """(size, coarse): linear interpolation from voxels that are `cell` wide, or tile the same length; flat beyond."""
    scale = 1 / cell if cell else coarse / size
    wanted = (torch.arange(size) + 0.5) * scale - 0.5
    wanted = wanted.clamp(0, coarse - 1)
    return (1 - (wanted[:, None] - torch.arange(coarse)[None, :]).abs()).clamp_min(0)


def averaging_matrix(coarse: int, size: int) -> torch.Tensor:
    """(coarse, size): means over equal stretches, a voxel counting by the part of it that lies inside."""
    ratio = size / coarse
    first = torch.arange(coarse)[:, None] * ratio
    place = torch.arange(size)[None, :]
    overlap = torch.minimum(first + ratio, place + 1.0) - torch.maximum(first, place.float())
    return overlap.clamp_min(0) / ratio


def spline_matrix(size: int, knots: int, spacing: float, start: float) -> torch.Tensor:
    """(size, knots): cubic B-splines at knots `spacing` voxels apart, the first at `start`, scaled so that
    independent unit-normal coefficients give values of unit deviation everywhere."""
    place = torch.arange(size)[:, None]
    knot = start + spacing * torch.arange(knots)[None, :]
    distance = (place - knot).abs() / spacing
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance).clamp_min(0) ** 3 / 6
    basis = torch.where(distance < 1, near, far)
    return basis / basis.norm(dim=1, keepdim=True)


def enlarge(volume: torch.Tensor, shape: tuple[int, int, int], factor: int) -> torch.Tensor:
    """(D, H, W) enlarged linearly by `factor` to `shape`, which begins at the same place and may end beyond."""
    for axis, size in enumerate(shape):
        if size != volume.shape[axis]:
            volume = along_axis(volume, enlarging_matrix(size, volume.shape[axis], cell=factor), axis)
    return volume
