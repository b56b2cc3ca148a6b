"""Blocks of MedNeXt: at the same resolution, down and up."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from magpie_core.networks.instance_norm import InstanceNorm
from magpie_core.networks.ops.pointwise import pointwise
from magpie_core.networks.ops.transposed_depthwise import transposed_depthwise_conv3d


class MedNeXtBlock(nn.Module):
    """x + compress(GELU(expand(norm(depthwise(x))))) (MedNeXt, arXiv 2303.09975, section 2.1).

    Attributes:
        checkpointing: Recompute the expansion branch in the backward pass instead of storing its activations.
    """

    def __init__(self, inputs: int, outputs: int, expansion: int, *, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.checkpointing = False
        self.depthwise = self._depthwise(inputs, kernel, stride)
        self.norm = InstanceNorm(inputs)
        self.expand = nn.Linear(inputs, expansion * inputs)
        self.compress = nn.Linear(expansion * inputs, outputs)

    def _depthwise(self, channels: int, kernel: int, stride: int) -> nn.Module:
        return nn.Conv3d(channels, channels, kernel, stride, kernel // 2, groups=channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, D, H, W) to the same size."""
        return features + self.branch(features)

    def branch(self, features: Tensor) -> Tensor:
        """Compute the branch that is added to the residual."""
        mixed = self.depthwise(features)
        if self.checkpointing and torch.is_grad_enabled():
            refined: Tensor = checkpoint(self._refine, mixed, use_reentrant=False)
            return refined
        return self._refine(mixed)

    def _refine(self, mixed: Tensor) -> Tensor:
        hidden = F.gelu(pointwise(self.norm(mixed), self.expand.weight, self.expand.bias))
        return pointwise(hidden, self.compress.weight, self.compress.bias)


class MedNeXtDownBlock(MedNeXtBlock):
    """MedNeXt block that halves the resolution; the residual is a strided 1^3 convolution."""

    def __init__(self, inputs: int, outputs: int, expansion: int, *, kernel: int = 3) -> None:
        super().__init__(inputs, outputs, expansion, kernel=kernel, stride=2)
        self.residual = nn.Linear(inputs, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, inputs, D, H, W) to (B, outputs, D / 2, H / 2, W / 2)."""
        kept = features[:, :, ::2, ::2, ::2]
        return self.branch(features) + pointwise(kept, self.residual.weight, self.residual.bias)


class MedNeXtUpBlock(MedNeXtBlock):
    """MedNeXt block that doubles the resolution; the residual is a transposed 1^3 convolution of stride 2."""

    def __init__(self, inputs: int, outputs: int, expansion: int, *, kernel: int = 3) -> None:
        super().__init__(inputs, outputs, expansion, kernel=kernel, stride=2)
        self.residual = nn.Linear(inputs, outputs)

    def _depthwise(self, channels: int, kernel: int, stride: int) -> nn.Module:
        return _TransposedDepthwise(channels, kernel)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, inputs, D, H, W) to (B, outputs, 2 D, 2 H, 2 W)."""
        refined = self.branch(features)
        # A transposed 1^3 convolution of stride 2 reaches every second voxel; all others hold its bias alone.
        placed = refined + self.residual.bias.to(refined.dtype)[:, None, None, None]
        residual = pointwise(features, self.residual.weight, None)
        placed[:, :, ::2, ::2, ::2] += residual.to(placed.dtype)
        return F.pad(placed, (1, 0, 1, 0, 1, 0))


class _TransposedDepthwise(nn.Module):
    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        like = nn.ConvTranspose3d(channels, channels, kernel, 2, kernel // 2, groups=channels)
        self.weight, self.bias = like.weight, like.bias

    def forward(self, features: Tensor) -> Tensor:
        return transposed_depthwise_conv3d(features, self.weight, self.bias)
