"""Deformable large-kernel attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from magpie_core.networks.convolution import Convolution, InstanceNorm
from magpie_core.networks.ops.deformable import deformable_depthwise_conv3d
from magpie_core.networks.ops.depthwise import dilated_depthwise_conv3d


class DeformableLargeKernelAttention(nn.Module):
    """x + gamma project(u * a), u = GELU(project(norm(x))), a = pointwise(depthwise_k,d(deformable_3(u))).

    D-LKA (deformableLKA, arXiv 2309.00121) in MAGPIE's decoder: a deformable convolution adapts to the shape, a dilated
    one of `kernel`^3 taps covers the context, and the result gates the features. Offsets start at zero and gamma at
    0.01, so that it changes little in a network to which it is added.

    Args:
        kernel, dilation: Taps per axis of the large kernel, and voxels between them; the receptive field is 2 + (kernel
            - 1) dilation + 1 voxels wide.
    """

    def __init__(self, channels: int, *, kernel: int = 7, dilation: int = 3) -> None:
        super().__init__()
        self.dilation = dilation
        self.norm = InstanceNorm(channels)
        self.project_in = Convolution(channels, channels, 1)
        self.offset_depthwise = nn.Conv3d(channels, channels, 3, padding=1, groups=channels)
        self.offset_pointwise = Convolution(channels, 3 * 27, 1)
        assert self.offset_pointwise.bias is not None
        nn.init.zeros_(self.offset_pointwise.weight)
        nn.init.zeros_(self.offset_pointwise.bias)
        # They hold weights with the usual initialization for the operators in `forward`.
        self.deformable = nn.Conv3d(channels, channels, 3, groups=channels)
        self.large = nn.Conv3d(channels, channels, kernel, groups=channels)
        self.pointwise = Convolution(channels, channels, 1)
        self.project_out = Convolution(channels, channels, 1)
        self.gamma = nn.Parameter(torch.full((channels,), 1e-2))

    def forward(self, features: Tensor) -> Tensor:
        """Attend to `features` (B, C, D, H, W)."""
        inner, offsets = self._gate_input(features)
        shaped = deformable_depthwise_conv3d(inner, offsets, self.deformable.weight, self.deformable.bias)
        weight, bias = self.large.weight.to(shaped.dtype), self.large.bias
        bias = None if bias is None else bias.to(shaped.dtype)
        gate = self.pointwise(dilated_depthwise_conv3d(shaped, weight, bias, dilation=self.dilation))
        attended = self.project_out(inner * gate)
        return features + self.gamma[:, None, None, None].to(attended.dtype) * attended

    def offsets(self, features: Tensor) -> Tensor:
        """Return the offset of each of the 27 taps at every voxel: (B, 27, 3, D, H, W) voxels, x, y, z = W, H, D."""
        return self._gate_input(features)[1].unflatten(1, (27, 3))

    def _gate_input(self, features: Tensor) -> tuple[Tensor, Tensor]:
        inner = F.gelu(self.project_in(self.norm(features)))
        return inner, self.offset_pointwise(self.offset_depthwise(inner))
