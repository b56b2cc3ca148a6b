"""Convolution of kernel 1^3."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def pointwise(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Apply a linear map, `weight` (K, C) and `bias` (K,), to the channels of `features` (B, C, D, H, W).

    On several CPU threads torch's float32 convolution is up to twice as fast as its matrix product; on one thread, in
    bfloat16 and on a GPU it is the other way round. The memory format is kept; channels last is the fastest.
    """
    if is_float32_on_cpu(features) and torch.get_num_threads() > 1:
        return F.conv3d(features, weight[:, :, None, None, None], bias)
    return F.linear(features.permute(0, 2, 3, 4, 1), weight, bias).permute(0, 4, 1, 2, 3)


def is_float32_on_cpu(features: Tensor) -> bool:
    """Return whether an operator will compute in float32 on a CPU."""
    on_cpu = features.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    return on_cpu and features.dtype == torch.float32
