"""Deformable depthwise convolution, and sampling and weighting of multi-scale deformable attention, in 3-D."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from magpie_core.networks.ops.sampling import (
    corners,
    grid_coordinates,
    padded_rows,
    voxel_centers,
    voxel_coordinates,
    weighted_rows,
)


def deformable_depthwise_conv3d(
    features: Tensor, offsets: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """y(p) = sum over taps t of w_t x(p + t + offset_t(p)), trilinear, zero outside (deformable convolution, 3-D).

    The taps are computed one by one, and again in the backward pass, so that only one sampled map is in memory at a
    time. Zero offsets give the ordinary depthwise convolution.

    Args:
        features: (B, C, D, H, W).
        offsets: (B, 3 k^3, D, H, W) in voxels; for each tap (in the order of `weight`) along x, y, z = W, H, D.
            Coordinates are computed in float32 or better, also under autocast.
        weight: (C, 1, k, k, k), k odd.
        bias: (C,) or None.
    """
    batch, channels, *size = features.shape
    kernel = weight.shape[-1]
    precise = torch.promote_types(offsets.dtype, torch.float32)
    shifts = offsets.to(precise).reshape(batch, kernel**3, 3, *size).permute(1, 0, 3, 4, 5, 2)
    taps = weight.to(precise).reshape(channels, kernel**3).unbind(dim=1)
    reach = range(-(kernel // 2), kernel // 2 + 1)
    steps = [(x, y, z) for z, y, x in itertools.product(reach, repeat=3)]
    centers = voxel_centers(size, like=shifts)
    with torch.autocast(features.device.type, enabled=False):
        values = features.to(precise)
        if features.device.type == "cpu":
            values = padded_rows(values)
            sample: Callable[..., Tensor] = _gathered
        else:
            sample = _grid_sampled
        total = torch.zeros(batch * math.prod(size), channels, dtype=precise, device=features.device)
        for tap, offset, step in zip(taps, shifts, steps, strict=True):
            positions = centers + torch.tensor(step, dtype=precise, device=features.device)
            if torch.is_grad_enabled():
                total = total + checkpoint(
                    _weighted, sample, tap, values, offset, positions, use_reentrant=False, preserve_rng_state=False
                )
            else:
                total.addcmul_(sample(values, offset, positions), tap)
        if bias is not None:
            total = total + bias.to(precise)
    return total.reshape(batch, *size, channels).permute(0, 4, 1, 2, 3).to(features.dtype)


def _gathered(rows: Tensor, offset: Tensor, positions: Tensor) -> Tensor:
    index, weights = corners(positions + offset, positions.shape[:3])
    return weighted_rows(rows, index.reshape(-1, 8), weights.reshape(-1, 8))


def _grid_sampled(values: Tensor, offset: Tensor, positions: Tensor) -> Tensor:
    grid = grid_coordinates(positions + offset, positions.shape[:3])
    return F.grid_sample(values, grid, align_corners=False).permute(0, 2, 3, 4, 1).flatten(0, 3)


def _weighted(sample: Callable[..., Tensor], tap: Tensor, *arguments: Tensor) -> Tensor:
    return sample(*arguments) * tap


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
            part = (_gathered_points if on_cpu else _grid_sampled_points)(maps, at, weight)
            total = part if total is None else total + part
    assert total is not None
    return total.reshape(batch, heads, tokens, -1).transpose(1, 2).reshape(batch, tokens, -1)


def _gathered_points(maps: Tensor, at: Tensor, weight: Tensor) -> Tensor:
    size = maps.shape[2:]
    index, weights = corners(voxel_coordinates(at, size), size)
    weights = weights * weight[..., None]
    return weighted_rows(padded_rows(maps), index.flatten(0, 1).flatten(1), weights.flatten(0, 1).flatten(1))


def _grid_sampled_points(maps: Tensor, at: Tensor, weight: Tensor) -> Tensor:
    sampled = F.grid_sample(maps, at[:, :, :, None], align_corners=False)[..., 0]
    return (sampled * weight[:, None]).sum(dim=-1).transpose(1, 2).flatten(0, 1)
