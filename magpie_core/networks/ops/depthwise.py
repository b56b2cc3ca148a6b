"""Depthwise convolutions, dilated and transposed, by ordinary ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def dilated_depthwise_conv3d(features: Tensor, weight: Tensor, bias: Tensor | None, *, dilation: int) -> Tensor:
    """Compute `conv3d` with a group per channel, dilated and padded to the same size.

    The dilation^3 sub-lattices are independent: they are convolved as one batch without dilation, up to twenty times
    faster on a CPU. `features` are (B, C, D, H, W), whose memory format is kept, `weight` is (C, 1, k, k, k) with odd k
    and `bias` (C,).
    """
    batch, channels, *size = features.shape
    if dilation == 1:
        return _same(features, weight, bias)
    pad = [amount for n in reversed(size) for amount in (0, -n % dilation)]
    coarse = [-(-n // dilation) for n in size]
    split = F.pad(features, pad).reshape(batch, channels, coarse[0], dilation, coarse[1], dilation, coarse[2], dilation)
    # The batch is (dilation, dilation, dilation, B).
    lattices = split.permute(3, 5, 7, 0, 1, 2, 4, 6).reshape(dilation**3 * batch, channels, *coarse)
    if features.is_contiguous(memory_format=torch.channels_last_3d):
        lattices = lattices.contiguous(memory_format=torch.channels_last_3d)
    mixed = _same(lattices, weight, bias)
    joined = mixed.reshape(dilation, dilation, dilation, batch, channels, *coarse)
    joined = joined.permute(3, 4, 5, 0, 6, 1, 7, 2).reshape(batch, channels, *(n * dilation for n in coarse))
    joined = joined[:, :, : size[0], : size[1], : size[2]]
    if features.is_contiguous(memory_format=torch.channels_last_3d):
        return joined.contiguous(memory_format=torch.channels_last_3d)
    return joined


def _same(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve depthwise to the same size, without the taps that reach only padding on a small map."""
    reach = [min(k // 2, n - 1) for k, n in zip(weight.shape[2:], features.shape[2:], strict=True)]
    taps = [slice(k // 2 - r, k // 2 + r + 1) for k, r in zip(weight.shape[2:], reach, strict=True)]
    return F.conv3d(features, weight[:, :, taps[0], taps[1], taps[2]], bias, padding=reach, groups=weight.shape[0])


def transposed_depthwise_conv3d(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Compute `conv_transpose3d` with a group per channel, stride 2 and padding k // 2, several times faster on a CPU.

    Zeros are inserted between the voxels, and an ordinary depthwise convolution applies the flipped kernel.
    `features` are (B, C, D, H, W), whose memory format is kept, `weight` is (C, 1, k, k, k) and `bias` (C,); the result
    is (B, C, 2 (D - 1) - 2 (k // 2) + k, ...).
    """
    kernel = weight.shape[2]
    batch, channels, *size = features.shape
    channels_last = features.is_contiguous(memory_format=torch.channels_last_3d)
    upsampled = torch.zeros(
        (batch, channels, *(2 * n - 1 for n in size)), dtype=features.dtype, device=features.device
    ).contiguous(memory_format=torch.channels_last_3d if channels_last else torch.contiguous_format)
    upsampled[:, :, ::2, ::2, ::2] = features
    return F.conv3d(upsampled, weight.flip(2, 3, 4), bias, padding=kernel - 1 - kernel // 2, groups=channels)
