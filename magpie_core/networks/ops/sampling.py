"""Coordinates as torch's grid sampling wants them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def voxel_grid(size: Sequence[int], *, like: Tensor) -> Tensor:
    """Centres (D, H, W, 3) of the voxels of a map, in (x, y, z) = (W, H, D), -1 to 1 over the map's outer edges."""
    z, y, x = ((2 * torch.arange(n, dtype=like.dtype, device=like.device) + 1) / n - 1 for n in size)
    return torch.stack(
        [part.expand(*size) for part in (x[None, None], y[None, :, None], z[:, None, None])], dim=-1
    )


def voxel_scale(size: Sequence[int], *, like: Tensor) -> Tensor:
    """Length (3,) of a voxel in these coordinates, along x, y, z."""
    return torch.tensor([2 / n for n in reversed(size)], dtype=like.dtype, device=like.device)
