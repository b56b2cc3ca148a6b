"""Logits of a softmax over tissues, and the log odds of the nested regions that follow from them."""

from __future__ import annotations

import torch
from torch import Tensor

from magpie_core.imaging.glioma import Region

TISSUES = ("background", "NCR", "ED", "ET")
"""Channels of the logits; the integers of the label schema "magpie"."""
_INSIDE = {Region.ET: (3,), Region.TC: (1, 3), Region.WT: (1, 2, 3)}


def region_log_odds(logits: Tensor) -> Tensor:
    """Return log p / (1 - p) of ET, TC and WT (B, 3, D, H, W), float32, from logits (B, 4, D, H, W) of the tissues.

    p is the sum of the softmax's probabilities of the region's tissues, so that regions nest.
    """
    logits = logits.float()
    odds = []
    for inside in _INSIDE.values():
        outside = [channel for channel in range(len(TISSUES)) if channel not in inside]
        odds.append(logits[:, list(inside)].logsumexp(dim=1) - logits[:, outside].logsumexp(dim=1))
    return torch.stack(odds, dim=1)


def tissue_targets(regions: Tensor) -> Tensor:
    """Return masks (B, 4, D, H, W) of the tissues from masks (B, 3, D, H, W) of ET, TC and WT."""
    enhancing, core, whole = regions.unbind(dim=1)
    return torch.stack([1 - whole, core - enhancing, whole - core, enhancing], dim=1)
