"""Transposed depthwise convolution by an ordinary one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def transposed_depthwise_conv3d(
    features: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int = 2, padding: int | None = None
) -> Tensor:
    """Compute `conv_transpose3d` with a group per channel, several times faster on a CPU.

    Zeros are inserted between the voxels, and an ordinary depthwise convolution applies the flipped kernel.
    `features` are (B, C, D, H, W), whose memory format is kept, `weight` is (C, 1, k, k, k) and `bias` (C,); `stride`
    and `padding` (k // 2 by default) are those of the transposed convolution. The result is
    (B, C, stride (D - 1) - 2 padding + k, ...).
    """
    kernel = weight.shape[2]
    before = kernel - 1 - (kernel // 2 if padding is None else padding)
    batch, channels, *size = features.shape
    channels_last = features.is_contiguous(memory_format=torch.channels_last_3d)
    upsampled = torch.zeros(
        (batch, channels, *(stride * (n - 1) + 1 for n in size)), dtype=features.dtype, device=features.device
    ).contiguous(memory_format=torch.channels_last_3d if channels_last else torch.contiguous_format)
    upsampled[:, :, ::stride, ::stride, ::stride] = features
    return F.conv3d(upsampled, weight.flip(2, 3, 4), bias, padding=before, groups=channels)
