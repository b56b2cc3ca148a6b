"""Convolutions and instance normalization, fast on every device, and the convolutional block of a U-Net."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from magpie_core.networks.ops.conv3d import bypasses_onednn, pointwise, sliced_conv3d, up_conv3d


class Convolution(nn.Conv3d):
    """Convolution with padding to the same size."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, bias=bias)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, inputs, D, H, W) to (B, outputs, D / stride, H / stride, W / stride), rounded up."""
        return convolve(features, self.weight, self.bias, stride=self.stride[0])


class UpConvolution(nn.ConvTranspose3d):
    """Up-convolution of a U-Net: transposed, kernel 2, stride 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 2, 2)

    def forward(self, features: Tensor) -> Tensor:  # type: ignore[override]
        """Map (B, inputs, D, H, W) to (B, outputs, 2 D, 2 H, 2 W)."""
        if self.bias is not None and bypasses_onednn(features, self.weight):
            return up_conv3d(features, self.weight, self.bias)
        return super().forward(features)


class InstanceNorm(nn.InstanceNorm3d):
    """Affine instance normalization, on a CPU by torch's batch normalization of each sample.

    The statistics of one sample are those of a batch of one. Torch's batch normalization keeps the channels-last format
    on a CPU; its instance normalization converts it, and the next convolution converts it back.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=True)

    def forward(self, features: Tensor) -> Tensor:
        """Normalize (B, C, D, H, W)."""
        return self.batchwise(features) if features.device.type == "cpu" else super().forward(features)

    def batchwise(self, features: Tensor) -> Tensor:
        """Normalize by torch's batch normalization of each sample."""
        cudnn = torch.backends.cudnn.enabled
        samples = [
            torch.batch_norm(sample, self.weight, self.bias, None, None, True, 0.0, self.eps, cudnn)
            for sample in features.split(1)
        ]
        return samples[0] if len(samples) == 1 else torch.cat(samples)


class ConvBlock(nn.Module):
    """Convolutions 3^3, each with instance normalization and leaky ReLU; the first may halve the resolution."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, convolutions: int = 2) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(convolutions):
            layers += [
                Convolution(outputs if index else inputs, outputs, 3, stride=1 if index else stride, bias=False),
                InstanceNorm(outputs),
                nn.LeakyReLU(0.01, inplace=True),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, inputs, D, H, W) to (B, outputs, D / stride, H / stride, W / stride)."""
        return self.layers(features)


def convolve(features: Tensor, weight: Tensor, bias: Tensor | None = None, *, stride: int = 1) -> Tensor:
    """Convolve (B, C, D, H, W) with weights (K, C, k, k, k) and bias (K,), padded to the same size."""
    size = weight.shape[-1]
    if features.device.type == "cpu":
        features = features.contiguous(memory_format=torch.channels_last_3d)
        if size == stride == 1:
            return pointwise(features, weight.flatten(1), bias)
    if bypasses_onednn(features, weight):
        return sliced_conv3d(features, weight, bias, stride=stride)
    return F.conv3d(features, weight, bias, stride, size // 2)
