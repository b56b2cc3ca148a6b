"""Torch's convolutions, in the way that is fastest where they are computed."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from magpie_core.networks.ops.pointwise import pointwise
from magpie_core.networks.ops.sliced_conv3d import is_left_to_plain_torch, sliced_conv3d
from magpie_core.networks.ops.up_conv3d import up_conv3d


class Convolution(nn.Conv3d):
    """A convolution with padding to the same size; kernel 1 or 3 as a rule."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, bias=bias)

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs, D, H, W) to (B, outputs, D / stride, H / stride, W / stride), rounded up."""
        return convolve(features, self.weight, self.bias, stride=self.stride[0])


class UpConvolution(nn.ConvTranspose3d):
    """The up-convolution of a U-Net: transposed, of kernel 2 and stride 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 2, 2)

    def forward(self, features: Tensor) -> Tensor:  # type: ignore[override]
        """(B, inputs, D, H, W) to (B, outputs, 2 D, 2 H, 2 W)."""
        if self.bias is not None and is_left_to_plain_torch(features, self.weight):
            return up_conv3d(features, self.weight, self.bias)
        return super().forward(features)


def convolve(features: Tensor, weight: Tensor, bias: Tensor | None = None, *, stride: int = 1) -> Tensor:
    """As `Convolution`, with weights (K, C, k, k, k) and bias (K,) that are given."""
    size = weight.shape[-1]
    if features.device.type == "cpu":
        features = features.contiguous(memory_format=torch.channels_last_3d)
        if size == stride == 1:
            return pointwise(features, weight.flatten(1), bias)
    if is_left_to_plain_torch(features, weight):
        return sliced_conv3d(features, weight, bias, stride=stride)
    return F.conv3d(features, weight, bias, stride, size // 2)
