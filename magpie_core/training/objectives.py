"""What training minimises: cross-entropy and Dice per region, deep supervision, balanced experts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from magpie_core.networks.magpie_net import NetworkOutput


@dataclass(frozen=True)
class ObjectiveWeights:
    """Weight of each term beside the soft Dice loss."""

    cross_entropy: float = 4.0
    auxiliary: float = 0.3
    balance: float = 0.01
    router_z: float = 0.001
    dice_smoothing_voxels: float = 20.0


@dataclass(frozen=True)
class Objective:
    """The loss to minimise (scalar), and the soft Dice of each region (K,) without gradient."""

    loss: Tensor
    region_dice: Tensor


def region_objective(output: NetworkOutput, targets: Tensor, weights: ObjectiveWeights) -> Objective:
    """Loss of a pass against region masks `targets` (B, K, D, H, W), 0 or 1."""
    loss, dice = _region_loss(output.logits, targets, weights)
    pooled = F.adaptive_max_pool3d(targets, output.auxiliary_logits.shape[2:])
    loss = loss + weights.auxiliary * _region_loss(output.auxiliary_logits, pooled, weights)[0]
    for routing in output.routing:
        loss = loss + (weights.balance * routing.balance_loss + weights.router_z * routing.z_loss) / len(
            output.routing
        )
    return Objective(loss, dice.detach())


def _region_loss(logits: Tensor, targets: Tensor, weights: ObjectiveWeights) -> tuple[Tensor, Tensor]:
    logits = logits.float()
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=(0, 2, 3, 4))
    probability = logits.sigmoid()
    overlap = 2 * (probability * targets).sum(dim=(0, 2, 3, 4)) + weights.dice_smoothing_voxels
    size = (probability + targets).sum(dim=(0, 2, 3, 4)) + weights.dice_smoothing_voxels
    dice = overlap / size
    return (weights.cross_entropy * entropy + 1 - dice).mean(), dice


def region_targets(labels: Tensor) -> Tensor:
    """Masks ET, TC, WT (3, D, H, W) float from labels (D, H, W) in the schema "magpie" (1 NCR, 2 ED, 3 ET)."""
    enhancing = labels == 3
    return torch.stack([enhancing, enhancing | (labels == 1), labels > 0]).float()
