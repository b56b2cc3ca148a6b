"""A convolution slice by slice."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from magpie_core.networks.ops.pointwise import is_float32_on_processor


def sliced_conv3d(features: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int = 1) -> Tensor:
    """What `conv3d` with padding to the same size gives, by `conv2d`: slices as a batch, neighbors as channels.

    For one sample with few voxels in float32 torch leaves the fast library out of a processor's `conv3d`, but not out
    of its `conv2d`.

    Parameters
    ----------
    features
        (1, C, D, H, W), fastest with the channels last in memory.
    weight, bias
        (K, C, k, k, k) with an odd k, and (K,) or None.

    Returns
    -------
    Tensor
        (1, K, D / stride, H / stride, W / stride), channels last in memory where those of the input are.
    """
    size = weight.shape[-1]
    margin = size // 2
    slices = F.pad(features[0].transpose(0, 1), (0, 0, 0, 0, 0, 0, margin, margin))
    count = (features.shape[2] - 1) // stride + 1
    last = (count - 1) * stride + 1
    neighbors = torch.cat([slices[first : first + last : stride] for first in range(size)], dim=1)
    planes = weight.transpose(1, 2).flatten(1, 2)
    result = F.conv2d(neighbors, planes, bias, stride, margin)
    # A new first axis would have a step that hides the order in memory from what follows.
    return result.unflatten(0, (1, count)).transpose(1, 2)


def is_left_to_plain_torch(features: Tensor, weight: Tensor) -> bool:
    """Whether torch computes this convolution, or this transposed one, without its fast library (as of 2.13)."""
    return (
        is_float32_on_processor(features)
        and features.shape[0] == 1
        and weight.shape[-1] in (2, 3)
        and features.shape[:-1].numel() <= 20480
    )
