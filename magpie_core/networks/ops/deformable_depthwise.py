"""Deformable depthwise convolution in 3-D."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from magpie_core.networks.ops.sampling import corners, grid_coordinates, padded_rows, voxel_centers, weighted_rows


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
