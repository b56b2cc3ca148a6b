"""Trilinear sampling of maps, zero outside."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def padded_rows(maps: Tensor) -> Tensor:
    """Voxels of `maps` (B, C, D, H, W) as rows (B (D + 3) (H + 3) (W + 3), C): one voxel of zeros before, two after."""
    return F.pad(maps.permute(0, 2, 3, 4, 1), (0, 0, 1, 2, 1, 2, 1, 2)).flatten(0, 3)


def corners(places: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Rows of `padded_rows` that trilinear interpolation meets, and the weight of each.

    Parameters
    ----------
    places
        (B, ..., 3) voxels along x, y, z = W, H, D, the first voxel's center at 0; float32 or better.
    size
        (D, H, W) of the maps.

    Returns
    -------
    tuple
        (B, ..., 8) int32, and (B, ..., 8) like `places`.
    """
    depth, height, width = size
    largest = torch.tensor([width, height, depth], dtype=places.dtype, device=places.device)
    # Beyond one voxel outside everything is zero; a place that is no number is taken for such a one.
    inside = torch.minimum(places.nan_to_num(-1.0), largest).clamp(min=-1.0)
    lower = inside.floor()
    upper_share = inside - lower
    shares = torch.stack([1 - upper_share, upper_share], dim=-1)
    x, y, z = shares.unbind(dim=-2)
    weights = (z[..., :, None, None] * y[..., None, :, None] * x[..., None, None, :]).flatten(-3)
    row, layer = width + 3, (width + 3) * (height + 3)
    steps = torch.tensor([1, row, layer], dtype=torch.int32, device=places.device)
    first = ((lower.detach().to(torch.int32) + 1) * steps).sum(dim=-1, dtype=torch.int32)
    batch = torch.arange(len(places), dtype=torch.int32, device=places.device) * (layer * (depth + 3))
    first = first + batch.reshape(-1, *(1 for _ in first.shape[1:]))
    beside = torch.tensor(
        [z * layer + y * row + x for z in (0, 1) for y in (0, 1) for x in (0, 1)],
        dtype=torch.int32,
        device=places.device,
    )
    return first[..., None] + beside, weights


def weighted_rows(rows: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """Sum of rows: (N, C) from `rows` (V, C), `index` (N, K) and `weights` (N, K).

    Sampling with `corners` and this sum equals torch's grid sampling with the channels in one piece of memory, and is
    five to fifteen times faster on a CPU.
    """
    return F.embedding_bag(index, rows, mode="sum", per_sample_weights=weights)


def voxel_places(size: Sequence[int], *, like: Tensor) -> Tensor:
    """Centers (D, H, W, 3) of the voxels of a map, x, y, z = W, H, D, in voxels."""
    z, y, x = (torch.arange(n, dtype=like.dtype, device=like.device) for n in size)
    return torch.stack(
        [part.expand(*size) for part in (x[None, None], y[None, :, None], z[:, None, None])], dim=-1
    )


def grid_coordinates(places: Tensor, size: Sequence[int]) -> Tensor:
    """Places in voxels as torch's grid sampling wants them: -1 to 1 over the map's outer edges."""
    return (2 * places + 1) / _lengths(size, like=places) - 1


def voxel_coordinates(places: Tensor, size: Sequence[int]) -> Tensor:
    """The way back from `grid_coordinates`."""
    return ((places + 1) * _lengths(size, like=places) - 1) / 2


def voxel_scale(size: Sequence[int], *, like: Tensor) -> Tensor:
    """Length (3,) of a voxel in the coordinates of grid sampling, along x, y, z."""
    return 2 / _lengths(size, like=like)


def _lengths(size: Sequence[int], *, like: Tensor) -> Tensor:
    return torch.tensor(list(reversed(size)), dtype=like.dtype, device=like.device)
