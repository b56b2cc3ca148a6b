"""Blocks of MedNeXt: at the same resolution, down and up."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from magpie_core.networks.convolution import InstanceNorm
from magpie_core.networks.ops.conv3d import pointwise
from magpie_core.networks.ops.depthwise import transposed_depthwise_conv3d


class MedNeXtBlock(nn.Module):
    """x + compress(GELU(expand(norm(depthwise(x))))) with kernels 3^3 (MedNeXt, arXiv 2303.09975, section 2.1)."""

    def __init__(self, inputs: int, outputs: int, expansion: int, *, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = self._depthwise(inputs, stride)
        self.norm = InstanceNorm(inputs)
        self.expand = nn.Linear(inputs, expansion * inputs)
        self.compress = nn.Linear(expansion * inputs, outputs)

    def _depthwise(self, channels: int, stride: int) -> nn.Module:
        return nn.Conv3d(channels, channels, 3, stride, 1, groups=channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, D, H, W) to the same size."""
        return features + self.branch(features)

    def branch(self, features: Tensor) -> Tensor:
        """Compute the branch that is added to the residual."""
        mixed = self.norm(self.depthwise(features))
        hidden = F.gelu(pointwise(mixed, self.expand.weight, self.expand.bias))
        return pointwise(hidden, self.compress.weight, self.compress.bias)


class MedNeXtDownBlock(MedNeXtBlock):
    """MedNeXt block that halves the resolution; the residual is a strided 1^3 convolution."""

    def __init__(self, inputs: int, outputs: int, expansion: int) -> None:
        super().__init__(inputs, outputs, expansion, stride=2)
        self.residual = nn.Linear(inputs, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, inputs, D, H, W) to (B, outputs, D / 2, H / 2, W / 2)."""
        kept = features[:, :, ::2, ::2, ::2]
        return self.branch(features) + pointwise(kept, self.residual.weight, self.residual.bias)


class MedNeXtUpBlock(MedNeXtBlock):
    """MedNeXt block that doubles the resolution; the residual is a transposed 1^3 convolution of stride 2."""

    def __init__(self, inputs: int, outputs: int, expansion: int) -> None:
        super().__init__(inputs, outputs, expansion, stride=2)
        self.residual = nn.Linear(inputs, outputs)

    def _depthwise(self, channels: int, stride: int) -> nn.Module:
        return _TransposedDepthwise(channels, channels, 3, stride, 1, groups=channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, inputs, D, H, W) to (B, outputs, 2 D, 2 H, 2 W)."""
        refined = self.branch(features)
        # A transposed 1^3 convolution of stride 2 reaches every second voxel; all others hold its bias alone.
        placed = refined + self.residual.bias.to(refined.dtype)[:, None, None, None]
        residual = pointwise(features, self.residual.weight, None)
        placed[:, :, ::2, ::2, ::2] += residual.to(placed.dtype)
        return F.pad(placed, (1, 0, 1, 0, 1, 0))


class _TransposedDepthwise(nn.ConvTranspose3d):
    def forward(self, features: Tensor) -> Tensor:  # type: ignore[override]
        return transposed_depthwise_conv3d(features, self.weight, self.bias)
