"""What training minimises: cross-entropy and Dice per region, deep supervision, balanced experts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from magpie_core.networks.output import NetworkOutput
from magpie_core.networks.routing import Routing
from magpie_core.training import ranks

_LEAST_TOKENS = 2.0


@dataclass(frozen=True)
class ObjectiveWeights:
    """Weight of each term beside the soft Dice loss; `deep` halves with every coarser stage.

    `token_information` and `tissue_information` ask for decisive routers, by what an expert's number tells of the token
    or of its tissue (`routing_information`).
    """

    cross_entropy: float = 4.0
    deep: float = 0.3
    balance: float = 0.01
    router_z: float = 0.001
    token_information: float = 0.0
    tissue_information: float = 0.0
    dice_smoothing_voxels: float = 20.0


@dataclass(frozen=True)
class Objective:
    """The loss to minimise (scalar), and the soft Dice of each region (K,) without gradient."""

    loss: Tensor
    region_dice: Tensor


_USUAL = ObjectiveWeights()


def region_objective(
    output: NetworkOutput,
    targets: Tensor,
    spent: float = 0.0,
    voxels: Tensor | None = None,
    weights: ObjectiveWeights = _USUAL,
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
    for routing in output.routing:
        term = weights.balance * routing.balance_loss + weights.router_z * routing.z_loss
        if weights.token_information or weights.tissue_information:
            token, tissue = routing_information(routing, targets)
            term = term - weights.token_information * token - weights.tissue_information * tissue
        loss = loss + term / len(output.routing)
    return Objective(loss, dice.detach())


def routing_information(routing: Routing, targets: Tensor) -> tuple[Tensor, Tensor]:
    """How much the choice of an expert tells, in nats: of the token, and of the token's tissue.

    Mutual information of expert and token is H(mean p) - mean H(p); of expert and tissue, with p averaged over each of
    the tissues that are there (ET, other core, edema, the rest of the brain), all tissues counting alike however few
    their tokens: H(mean p_t) - mean H(p_t). Neither says which expert is for what.

    Parameters
    ----------
    targets
        (B, 3, D, H, W) masks of ET, TC, WT, which the routing's tokens cover evenly.
    """
    probabilities, weight = routing.probabilities, routing.weight
    of_tokens = _entropy(weight @ probabilities) - weight @ _entropy(probabilities)
    batch, _, *size = targets.shape
    edge = round((batch * math.prod(size) / len(probabilities)) ** (1 / 3))
    enhancing, core, whole = targets.unbind(dim=1)
    tissues = torch.stack([enhancing, core - enhancing, whole - core, 1 - whole], dim=1)
    shares = F.avg_pool3d(tissues, edge).transpose(0, 1).flatten(1) * weight
    there = shares.sum(dim=1) > _LEAST_TOKENS * weight.max()
    by_tissue = (shares[there] @ probabilities) / shares[there].sum(dim=1, keepdim=True).clamp_min(1e-12)
    of_tissues = _entropy(by_tissue.mean(dim=0)) - _entropy(by_tissue).mean()
    return of_tokens, of_tissues


def _entropy(probabilities: Tensor) -> Tensor:
    return -(probabilities * probabilities.clamp_min(1e-20).log()).sum(dim=-1)


def curriculum_objective(
    output: NetworkOutput,
    targets: Tensor,
    spent: float,
    voxels: Tensor | None = None,
    weights: ObjectiveWeights = _USUAL,
) -> Objective:
    """Loss of a mixture of modality experts: (1 - r)^2 own + (1 - (1 - r)^2) joint (MoME, equation 2).

    `own` is the mean loss of each expert on its own sequence, `joint` that of the gated output, and r = `spent`, the
    share of the training that is over: first every expert learns for itself, in the end all of them together.
    """
    joint = region_objective(output, targets, spent, voxels, weights)
    apart = (1 - spent) ** 2
    own = torch.stack(
        [region_objective(expert, targets, spent, voxels, weights).loss for expert in output.own]
    ).mean()
    return Objective(apart * own + (1 - apart) * joint.loss, joint.region_dice)


def _region_loss(
    logits: Tensor, targets: Tensor, voxels: Tensor, weights: ObjectiveWeights
) -> tuple[Tensor, Tensor]:
    logits = logits.float()
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    entropy = (entropy * voxels).mean(dim=(0, 2, 3, 4))
    probability, truth = logits.sigmoid() * voxels, targets * voxels
    overlap = 2 * (probability * targets).sum(dim=(0, 2, 3, 4))
    size = (probability + truth).sum(dim=(0, 2, 3, 4))
    overlap, size = ranks.total(torch.stack([overlap, size])) + weights.dice_smoothing_voxels
    dice = overlap / size
    return (weights.cross_entropy * entropy + 1 - dice).mean(), dice


def region_targets(labels: Tensor) -> Tensor:
    """Masks ET, TC, WT (3, D, H, W) float from labels (D, H, W) in the schema "magpie" (1 NCR, 2 ED, 3 ET)."""
    enhancing = labels == 3
    return torch.stack([enhancing, enhancing | (labels == 1), labels > 0]).float()
