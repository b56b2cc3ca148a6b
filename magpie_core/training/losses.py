"""What training minimizes: cross-entropy and Dice per region, deep supervision, balanced experts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from magpie_core.networks.output import NetworkOutput
from magpie_core.networks.routing import Routing
from magpie_core.training import distributed

_LEAST_TOKENS = 2.0


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term beside the soft Dice loss; `deep` halves with every coarser stage.

    `expert_overlap`, of one minus the function of that name, asks experts to divide the tumor as its regions do.
    """

    cross_entropy: float = 4.0
    deep: float = 0.3
    balance: float = 0.01
    router_z: float = 0.001
    expert_overlap: float = 0.0
    dice_smoothing_voxels: float = 20.0


@dataclass(frozen=True)
class Objective:
    """The loss to minimize (scalar), and without gradient the soft Dice of each region (K,) and further figures."""

    loss: Tensor
    region_dice: Tensor
    figures: dict[str, float | Tensor] = field(default_factory=dict)


_USUAL = LossWeights()


def region_loss(
    output: NetworkOutput,
    targets: Tensor,
    spent: float = 0.0,
    voxels: Tensor | None = None,
    weights: LossWeights = _USUAL,
) -> Objective:
    """Loss of a pass against region masks `targets` (B, K, D, H, W), 0 or 1; the same at all times.

    Dice is that of all boxes of a step, those of other processes too.

    `voxels` (B, 1, D, H, W), 0 to 1, says how far each voxel counts; all do by default.
    """
    if voxels is None:
        voxels = torch.ones_like(targets[:, :1])
    loss, dice = _region_loss(output.logits, targets, voxels, weights)
    for level, logits in enumerate(output.deep_logits):
        size = (logits.shape[2], logits.shape[3], logits.shape[4])
        pooled = F.adaptive_max_pool3d(targets, size)
        counted = F.adaptive_avg_pool3d(voxels, size)
        loss = loss + weights.deep * 0.5**level * _region_loss(logits, pooled, counted, weights)[0]
    figures: dict[str, float | Tensor] = {}
    layers = len(output.routing)
    for routing in output.routing:
        loss = loss + (weights.balance * routing.balance_loss + weights.router_z * routing.z_loss) / layers
    if weights.expert_overlap and layers:
        overlap = torch.stack([expert_overlap(routing, targets) for routing in output.routing]).mean()
        loss = loss + weights.expert_overlap * (1 - overlap)
        figures["expert_overlap"] = overlap.detach()
    return Objective(loss, dice.detach(), figures)


def expert_overlap(routing: Routing, targets: Tensor) -> Tensor:
    """How well three experts cover ET, TC and edema: mean soft Dice (squared denominator), 0 to 1; 1 without tumor.

    Which expert is for which region is not prescribed: it is the assignment of most overlap, each expert taken once.
    Where two experts or more see a token, enhancing tumor is asked of two in equal parts, its own and the core's.

    Parameters
    ----------
    targets
        (B, 3, D, H, W) masks of ET, TC, WT, which the routing's tokens cover evenly; those of all processes count.
    """
    batch, _, *size = targets.shape
    edge = round((batch * math.prod(size) / len(routing.probabilities)) ** (1 / 3))
    enhancing, core, whole = targets.unbind(dim=1)
    own = enhancing / min(routing.chosen.shape[1], 2)
    shares = F.avg_pool3d(torch.stack([own, core - own, whole - core], dim=1), edge)
    counted = (routing.weight > 0).float()
    shares = shares.transpose(0, 1).flatten(1) * counted
    probabilities = routing.probabilities * counted[:, None]
    both, asked, wanted, tokens = (
        distributed.total(part)
        for part in (
            shares @ probabilities,
            probabilities.square().sum(dim=0),
            shares.square().sum(dim=1),
            shares.sum(dim=1),
        )
    )
    overlap = (2 * both / (asked + wanted[:, None]).clamp_min(1e-6))[tokens > _LEAST_TOKENS]
    if len(overlap) == 0:
        return torch.ones_like(asked[0])
    if not overlap.isfinite().all():  # the loop says that the training diverged
        return overlap.sum()
    regions, experts = linear_sum_assignment(-overlap.detach().cpu().numpy())
    return overlap[regions, experts].mean()


def curriculum_loss(
    output: NetworkOutput,
    targets: Tensor,
    spent: float,
    voxels: Tensor | None = None,
    weights: LossWeights = _USUAL,
) -> Objective:
    """Loss of a mixture of modality experts: (1 - r)^2 own + (1 - (1 - r)^2) joint (MoME, equation 2).

    `own` is the mean loss of each expert on its own modality, `joint` that of the gated output, and r = `spent`, the
    share of the training that is over: first every expert learns for itself, in the end all of them together.
    """
    joint = region_loss(output, targets, spent, voxels, weights)
    apart = (1 - spent) ** 2
    own = torch.stack(
        [region_loss(expert, targets, spent, voxels, weights).loss for expert in output.own]
    ).mean()
    return replace(joint, loss=apart * own + (1 - apart) * joint.loss)


def _region_loss(
    logits: Tensor, targets: Tensor, voxels: Tensor, weights: LossWeights
) -> tuple[Tensor, Tensor]:
    logits = logits.float()
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    entropy = (entropy * voxels).mean(dim=(0, 2, 3, 4))
    probability, truth = logits.sigmoid() * voxels, targets * voxels
    overlap = 2 * (probability * targets).sum(dim=(0, 2, 3, 4))
    size = (probability + truth).sum(dim=(0, 2, 3, 4))
    overlap, size = distributed.total(torch.stack([overlap, size])) + weights.dice_smoothing_voxels
    dice = overlap / size
    return (weights.cross_entropy * entropy + 1 - dice).mean(), dice


def region_targets(labels: Tensor) -> Tensor:
    """Masks ET, TC, WT (3, D, H, W) float from labels (D, H, W) in the schema "magpie" (1 NCR, 2 ED, 3 ET)."""
    enhancing = labels == 3
    return torch.stack([enhancing, enhancing | (labels == 1), labels > 0]).float()
