"""Convolutional block of a U-Net."""

from __future__ import annotations

from torch import Tensor, nn

from magpie_core.networks.convolution import Convolution
from magpie_core.networks.instance_norm import InstanceNorm


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
