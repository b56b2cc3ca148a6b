"""Sampling and weighting of multi-scale deformable attention in 3-D."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from magpie_core.networks.ops.sampling import corners, padded_rows, voxel_coordinates, weighted_rows


def deformable_attention(values: Sequence[Tensor], locations: Tensor, weights: Tensor) -> Tensor:
    """Sum A F(location) over levels and points, trilinear, zero outside (Deformable DETR, equation 3, in 3-D).

    Args:
        values: For each of L levels (B, M, C, D_l, H_l, W_l), M heads.
        locations: (B, T, M, L, P, 3) for T tokens and P points: (x, y, z) = (W, H, D), -1 to 1 between the map's outer
            edges; float32 or better.
        weights: (B, T, M, L, P).

    Returns:
        Tensor: (B, T, M * C), of the type of `locations`.
    """
    batch, tokens, heads, _, points, _ = locations.shape
    on_cpu = locations.device.type == "cpu"
    total: Tensor | None = None
    with torch.autocast(locations.device.type, enabled=False):
        for level, value in enumerate(values):
            maps = value.to(locations.dtype).flatten(0, 1)
            at = locations[:, :, :, level].transpose(1, 2).reshape(batch * heads, tokens, points, 3)
            weight = weights[:, :, :, level].to(locations.dtype).transpose(1, 2)
            weight = weight.reshape(batch * heads, tokens, points)
            part = (_gathered if on_cpu else _grid_sampled)(maps, at, weight)
            total = part if total is None else total + part
    assert total is not None
    return total.reshape(batch, heads, tokens, -1).transpose(1, 2).reshape(batch, tokens, -1)


def _gathered(maps: Tensor, at: Tensor, weight: Tensor) -> Tensor:
    size = maps.shape[2:]
    index, weights = corners(voxel_coordinates(at, size), size)
    weights = weights * weight[..., None]
    return weighted_rows(padded_rows(maps), index.flatten(0, 1).flatten(1), weights.flatten(0, 1).flatten(1))


def _grid_sampled(maps: Tensor, at: Tensor, weight: Tensor) -> Tensor:
    sampled = F.grid_sample(maps, at[:, :, :, None], align_corners=False)[..., 0]
    return (sampled * weight[:, None]).sum(dim=-1).transpose(1, 2).flatten(0, 1)
