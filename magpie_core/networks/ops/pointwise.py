"""A 1^3 convolution."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def pointwise(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The same linear map of the channels at every voxel.

    On several processor threads torch's float32 convolution is up to twice as fast as its matrix product; on one
    thread, in bfloat16 and on a graphics card it is the other way round.

    Parameters
    ----------
    features
        (B, C, D, H, W), fastest with the channels last in memory.
    weight, bias
        (K, C), and (K,) or None.

    Returns
    -------
    Tensor
        (B, K, D, H, W), channels last in memory where those of the input are.
    """
    if is_float32_on_processor(features) and torch.get_num_threads() > 1:
        return F.conv3d(features, weight[:, :, None, None, None], bias)
    return F.linear(features.permute(0, 2, 3, 4, 1), weight, bias).permute(0, 4, 1, 2, 3)


def is_float32_on_processor(features: Tensor) -> bool:
    """Whether an operator will compute in float32, on a processor."""
    on_processor = features.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    return on_processor and features.dtype == torch.float32
