"""Sampling and weighing of multi-scale deformable attention in 3-D."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def deformable_attention(values: Sequence[Tensor], places: Tensor, weights: Tensor) -> Tensor:
    """Sum over levels and points of A F(place), trilinear, zero outside (Deformable DETR, equation 3, in 3-D).

    Parameters
    ----------
    values
        For each of L levels (B, M, C, D_l, H_l, W_l), M heads.
    places
        (B, T, M, L, P, 3) for T tokens and P points: (x, y, z) = (W, H, D), -1 to 1 over the map's outer edges;
        float32 or better.
    weights
        (B, T, M, L, P).

    Returns
    -------
    Tensor
        (B, T, M * C), of the type of `places`.
    """
    batch, tokens, heads, _, points, _ = places.shape
    total: Tensor | None = None
    with torch.autocast(places.device.type, enabled=False):
        for level, value in enumerate(values):
            maps = value.to(places.dtype).flatten(0, 1)
            where = places[:, :, :, level].transpose(1, 2).reshape(batch * heads, tokens, points, 1, 3)
            sampled = F.grid_sample(maps, where, align_corners=False)[..., 0]
            weight = weights[:, :, :, level].to(places.dtype).transpose(1, 2)
            part = (sampled * weight.reshape(batch * heads, 1, tokens, points)).sum(dim=-1)
            total = part if total is None else total + part
    assert total is not None
    return total.reshape(batch, -1, tokens).transpose(1, 2)
