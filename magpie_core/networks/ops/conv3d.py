"""Convolutions over all channels by operators that are faster on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def pointwise(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Apply a linear map, `weight` (K, C) and `bias` (K,), to the channels of `features` (B, C, D, H, W).

    On several CPU threads torch's float32 convolution is up to twice as fast as its matrix product; on one thread, in
    bfloat16 and on a GPU it is the other way round. The memory format is kept; channels last is the fastest.
    """
    if is_float32_on_cpu(features) and torch.get_num_threads() > 1:
        return F.conv3d(features, weight[:, :, None, None, None], bias)
    return F.linear(features.permute(0, 2, 3, 4, 1), weight, bias).permute(0, 4, 1, 2, 3)


def is_float32_on_cpu(features: Tensor) -> bool:
    """Return whether an operator will compute in float32 on a CPU."""
    on_cpu = features.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    return on_cpu and features.dtype == torch.float32


def sliced_conv3d(features: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int = 1) -> Tensor:
    """Compute `conv3d` with padding to the same size by `conv2d`: slices as a batch, neighboring slices as channels.

    For one sample with few voxels in float32 on a CPU, torch's `conv3d` does not use oneDNN; its `conv2d` does.
    `features` are (1, C, D, H, W), fastest with the channels last in memory, `weight` (K, C, k, k, k) with odd k and
    `bias` (K,); the result is (1, K, D / stride, H / stride, W / stride) in the same memory format.
    """
    size = weight.shape[-1]
    margin = size // 2
    slices = F.pad(features[0].transpose(0, 1), (0, 0, 0, 0, 0, 0, margin, margin))
    count = (features.shape[2] - 1) // stride + 1
    last = (count - 1) * stride + 1
    neighbors = torch.cat([slices[first : first + last : stride] for first in range(size)], dim=1)
    kernels = weight.transpose(1, 2).flatten(1, 2)
    result = F.conv2d(neighbors, kernels, bias, stride, margin)
    # Indexing with None would give the first axis a stride that hides the memory format from later operators.
    return result.unflatten(0, (1, count)).transpose(1, 2)


def bypasses_onednn(features: Tensor, weight: Tensor) -> bool:
    """Return whether torch (as of 2.13) computes this convolution, plain or transposed, without oneDNN."""
    return (
        is_float32_on_cpu(features)
        and features.shape[0] == 1
        and weight.shape[-1] in (2, 3)
        and features.shape[:-1].numel() <= 20480
    )


def up_conv3d(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Compute `conv_transpose3d` with kernel 2 and stride 2 as one matrix product; its outputs do not overlap.

    `features` are (B, C, D, H, W), fastest with the channels last in memory, `weight` (C, K, 2, 2, 2) and `bias` (K,);
    the result is (B, K, 2 D, 2 H, 2 W), channels last in memory.
    """
    batch, _, depth, height, width = features.shape
    outputs = weight.shape[1]
    corners = weight.permute(2, 3, 4, 1, 0).flatten(0, 3)
    cells = F.linear(features.permute(0, 2, 3, 4, 1), corners, bias.repeat(8))
    cells = cells.view(batch, depth, height, width, 2, 2, 2, outputs).permute(0, 1, 4, 2, 5, 3, 6, 7)
    return cells.reshape(batch, 2 * depth, 2 * height, 2 * width, outputs).permute(0, 4, 1, 2, 3)
