"""Transposed convolution that doubles the resolution."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def up_conv3d(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Compute `conv_transpose3d` with kernel 2 and stride 2 as one matrix product; its outputs do not overlap.

    `features` are (B, C, D, H, W), fastest with the channels last in memory, `weight` (C, K, 2, 2, 2) and `bias` (K,);
    the result is (B, K, 2 D, 2 H, 2 W), channels last in memory.
    """
    batch, _, depth, height, width = features.shape
    outputs = weight.shape[1]
    corners = weight.permute(2, 3, 4, 1, 0).flatten(0, 3)
    cells = F.linear(features.permute(0, 2, 3, 4, 1), corners, bias.repeat(8))
    cells = cells.view(batch, depth, height, width, 2, 2, 2, outputs).permute(0, 1, 4, 2, 5, 3, 6, 7)
    return cells.reshape(batch, 2 * depth, 2 * height, 2 * width, outputs).permute(0, 4, 1, 2, 3)
