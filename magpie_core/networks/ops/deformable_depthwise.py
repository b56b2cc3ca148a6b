"""Deformable depthwise convolution in 3-D."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from magpie_core.networks.ops.sampling import voxel_grid, voxel_scale


def deformable_depthwise_conv3d(
    features: Tensor, offsets: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """y(p) = sum over taps t of w_t x(p + t + offset_t(p)), trilinear, zero outside (deformable convolution, 3-D).

    The taps are worked off one by one, and again in the backward pass, so that only one sampled map is alive at a
    time. Zero offsets give the ordinary depthwise convolution.

    Parameters
    ----------
    features
        (B, C, D, H, W).
    offsets
        (B, 3 k^3, D, H, W) in voxels; for each tap (in the order of `weight`) along x, y, z = W, H, D. Coordinates
        are computed in float32 or better whatever autocast says.
    weight
        (C, 1, k, k, k), k odd.
    bias
        (C,) or None.
    """
    batch, channels, *size = features.shape
    kernel = weight.shape[-1]
    precise = torch.promote_types(offsets.dtype, torch.float32)
    values = features.to(precise).contiguous()
    moved = offsets.to(precise).reshape(batch, kernel**3, 3, *size)
    grid = voxel_grid(size, like=moved)
    scale = voxel_scale(size, like=moved)
    taps = weight.to(precise).reshape(channels, kernel**3)
    positions = itertools.product(range(-(kernel // 2), kernel // 2 + 1), repeat=3)
    total = torch.zeros_like(values)
    with torch.autocast(features.device.type, enabled=False):
        for index, (z, y, x) in enumerate(positions):
            step = torch.tensor([x, y, z], dtype=precise, device=features.device)
            weights = taps[:, index, None, None, None]
            arguments = (values, moved[:, index], grid, scale, step)
            if torch.is_grad_enabled():
                total = total + checkpoint(
                    _weighed, weights, *arguments, use_reentrant=False, preserve_rng_state=False
                )
            else:
                total.addcmul_(_sampled(*arguments), weights)
    if bias is not None:
        total = total + bias.to(precise)[:, None, None, None]
    return total.to(features.dtype)


def _sampled(values: Tensor, offset: Tensor, grid: Tensor, scale: Tensor, step: Tensor) -> Tensor:
    places = torch.addcmul(grid, offset.permute(0, 2, 3, 4, 1) + step, scale)
    return F.grid_sample(values, places, align_corners=False)


def _weighed(weights: Tensor, *arguments: Tensor) -> Tensor:
    return _sampled(*arguments) * weights
