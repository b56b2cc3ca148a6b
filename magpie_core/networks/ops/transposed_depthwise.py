"""Transposed depthwise convolution by an ordinary one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def transposed_depthwise_conv3d(
    features: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int = 2, padding: int | None = None
) -> Tensor:
    """What `conv_transpose3d` with a group per channel gives, several times faster on a CPU.

    Zeros are put between the voxels and an ordinary depthwise convolution runs with the kernel flipped.

    Parameters
    ----------
    features
        (B, C, D, H, W), any memory format, which is kept.
    weight
        (C, 1, k, k, k), as of a transposed convolution.
    bias
        (C,) or None.
    stride, padding
        Of the transposed convolution; padding is k // 2 by default.

    Returns
    -------
    Tensor
        (B, C, stride (D - 1) - 2 padding + k, ...).
    """
    kernel = weight.shape[2]
    before = kernel - 1 - (kernel // 2 if padding is None else padding)
    batch, channels, *size = features.shape
    last = features.is_contiguous(memory_format=torch.channels_last_3d)
    spread = torch.zeros(
        (batch, channels, *(stride * (n - 1) + 1 for n in size)), dtype=features.dtype, device=features.device
    ).contiguous(memory_format=torch.channels_last_3d if last else torch.contiguous_format)
    spread[:, :, ::stride, ::stride, ::stride] = features
    return F.conv3d(spread, weight.flip(2, 3, 4), bias, padding=before, groups=channels)
