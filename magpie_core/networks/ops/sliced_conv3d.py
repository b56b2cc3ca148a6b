"""Convolution by 2-D convolutions of slices."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from magpie_core.networks.ops.pointwise import is_float32_on_cpu


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
