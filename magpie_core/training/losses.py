"""The training losses: cross-entropy and Dice per region, deep supervision, balanced experts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from magpie_core.imaging.glioma import Tissue
from magpie_core.imaging.label_schema import label_schema
from magpie_core.networks.magpie_net import NetworkOutput
from magpie_core.networks.mixture_of_experts import Routing
from magpie_core.networks.tissue_logits import region_log_odds, tissue_targets
from magpie_core.training import distributed

_LEAST_TOKENS = 2.0
_EPSILON = 1e-5


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term beside the soft Dice loss; `deep_supervision` halves with every coarser stage.

    `expert_overlap`, of one minus the function of that name, makes experts divide the tumor as its regions do.
    `squared_dice` squares what the denominator of Dice sums (MAGPIE, equation 12), without smoothing. With
    `normalize_levels` the weights of all levels sum to 1, as in nnU-Net.
    """

    cross_entropy: float = 4.0
    deep_supervision: float = 0.3
    balance: float = 0.01
    router_z: float = 0.001
    expert_overlap: float = 0.0
    dice_smoothing_voxels: float = 20.0
    squared_dice: bool = False
    normalize_levels: bool = False

    def of_levels(self, count: int) -> list[float]:
        """Return the weight of each level, finest first; 1 and less and less, or what sums to 1."""
        weights = [1.0, *(self.deep_supervision * 0.5**level for level in range(count - 1))]
        total = sum(weights) if self.normalize_levels else 1.0
        return [weight / total for weight in weights]


PAPER_LOSS = LossWeights(cross_entropy=1.0, deep_supervision=0.0, balance=0.01, router_z=0.0, squared_dice=True)
"""MAGPIE's fine-tuning loss (equations 10 to 12): Dice + 1.0 cross-entropy + 0.01 load balance, and nothing else."""
MOME_LOSS = LossWeights(
    cross_entropy=1.0,
    deep_supervision=0.5,
    balance=0.0,
    router_z=0.0,
    dice_smoothing_voxels=1e-5,
    normalize_levels=True,
)
"""MoME's, which is nnU-Net's: Dice + cross-entropy at every level, with weights 1, 1/2, 1/4 ... that sum to 1."""


@dataclass(frozen=True)
class LossOutput:
    """The loss to minimize (scalar), and without gradient the soft Dice of each region (K,) and further metrics."""

    loss: Tensor
    region_dice: Tensor
    metrics: dict[str, float | Tensor] = field(default_factory=dict)


_DEFAULT = LossWeights()


def region_loss(
    output: NetworkOutput,
    targets: Tensor,
    progress: float = 0.0,
    voxel_weights: Tensor | None = None,
    weights: LossWeights = _DEFAULT,
) -> LossOutput:
    """Compute the loss of an output against region masks `targets` (B, K, D, H, W), 0 or 1; `progress` is not used.

    Of a network with a softmax over tissues it is that of the tissues, Dice without the background. Dice is that of all
    patches of a step, over all ranks. `voxel_weights` is (B, 1, D, H, W), 0 to 1; 1 by default.
    """
    if voxel_weights is None:
        voxel_weights = torch.ones_like(targets[:, :1])
    levels = output.levels if weights.deep_supervision else output.levels[:1]
    loss, dice = torch.zeros((), device=targets.device), torch.zeros(0)
    for level, (logits, weight) in enumerate(zip(levels, weights.of_levels(len(levels)), strict=True)):
        size = (logits.shape[2], logits.shape[3], logits.shape[4])
        pooled = F.adaptive_max_pool3d(targets, size) if level else targets
        pooled_weights = F.adaptive_avg_pool3d(voxel_weights, size) if level else voxel_weights
        compute = _tissue_loss if output.tissue_logits else _region_loss
        own, region_dice = compute(logits, pooled, pooled_weights, weights)
        loss = loss + weight * own
        dice = dice if level else region_dice
    metrics: dict[str, float | Tensor] = {}
    layers = len(output.routing)
    for routing in output.routing:
        loss = loss + (weights.balance * routing.balance_loss + weights.router_z * routing.z_loss) / layers
    if weights.expert_overlap and layers:
        overlap = torch.stack([expert_overlap(routing, targets) for routing in output.routing]).mean()
        loss = loss + weights.expert_overlap * (1 - overlap)
        metrics["expert_overlap"] = overlap.detach()
    return LossOutput(loss, dice.detach(), metrics)


def expert_overlap(routing: Routing, targets: Tensor) -> Tensor:
    """Compute how well three experts cover ET, TC and edema: mean soft Dice (squared denominator); 1 without tumor.

    Experts are assigned to regions so that the overlap is greatest, each expert once. Where two experts or more are
    routed a token, enhancing tumor is to be routed to two in equal parts, its own expert and the core's.

    Args:
        targets: (B, 3, D, H, W) masks of ET, TC, WT, which the routing's tokens cover evenly; reduced over all ranks.
    """
    batch, _, *size = targets.shape
    edge = round((batch * math.prod(size) / len(routing.probabilities)) ** (1 / 3))
    enhancing, core, whole = targets.unbind(dim=1)
    own = enhancing / min(routing.chosen.shape[1], 2)
    fractions = F.avg_pool3d(torch.stack([own, core - own, whole - core], dim=1), edge)
    valid = (routing.weight > 0).float()
    fractions = fractions.transpose(0, 1).flatten(1) * valid
    probabilities = routing.probabilities * valid[:, None]
    overlaps, routed, wanted, tokens = (
        distributed.all_reduce_sum(part)
        for part in (
            fractions @ probabilities,
            probabilities.square().sum(dim=0),
            fractions.square().sum(dim=1),
            fractions.sum(dim=1),
        )
    )
    overlap = (2 * overlaps / (routed + wanted[:, None]).clamp_min(1e-6))[tokens > _LEAST_TOKENS]
    if len(overlap) == 0:
        return torch.ones_like(routed[0])
    if not overlap.isfinite().all():  # the loop raises the error that the training diverged
        return overlap.sum()
    regions, experts = linear_sum_assignment(-overlap.detach().cpu().numpy())
    return overlap[regions, experts].mean()


def curriculum_loss(
    output: NetworkOutput,
    targets: Tensor,
    progress: float,
    voxel_weights: Tensor | None = None,
    weights: LossWeights = _DEFAULT,
) -> LossOutput:
    """Compute the loss of a mixture of modality experts: (1 - r)^2 own + (1 - (1 - r)^2) joint (MoME, equation 2).

    `own` is the loss of the experts, each on the samples that have its modality (the equation's indicator), `joint`
    that of the gated output, and r = `progress` (0 to 1): first every expert is trained on its own, in the end all of
    them together.
    """
    joint = region_loss(output, targets, progress, voxel_weights, weights)
    own_weight = (1 - progress) ** 2
    present = output.expert_present
    if present is None:
        present = torch.ones(len(targets), len(output.expert_outputs), dtype=torch.bool)
    if voxel_weights is None:
        voxel_weights = torch.ones_like(targets[:, :1])
    own = torch.zeros((), device=targets.device)
    present = present.to(targets.device).float()
    counts = distributed.all_reduce_sum(present.sum(dim=0))
    samples = len(targets) * distributed.world_size()
    # Every rank computes the loss of every expert, also of one without samples there: Dice is that of all ranks.
    for expert, has, count in zip(output.expert_outputs, present.T, counts, strict=True):
        voxels = voxel_weights * (has * samples / count.clamp_min(1))[:, None, None, None, None]
        loss = region_loss(expert, targets, progress, voxels, weights).loss
        own = own + loss * count / counts.sum()
    return replace(joint, loss=own_weight * own + (1 - own_weight) * joint.loss)


def _tissue_loss(logits: Tensor, targets: Tensor, voxel_weights: Tensor, weights: LossWeights) -> tuple[Tensor, Tensor]:
    """Compute softmax cross-entropy and Dice of the tissues, and Dice of the regions."""
    tissues = tissue_targets(targets)
    log_shares = logits.float().log_softmax(dim=1)
    entropy = -((log_shares * tissues).sum(dim=1, keepdim=True) * voxel_weights).mean()
    shares = log_shares.exp()
    dice = _dice(shares[:, 1:], tissues[:, 1:], voxel_weights, weights)
    with torch.no_grad():
        region_dice = _dice(region_log_odds(logits).sigmoid(), targets, voxel_weights, weights)
    return weights.cross_entropy * entropy + 1 - dice.mean(), region_dice


def _region_loss(logits: Tensor, targets: Tensor, voxel_weights: Tensor, weights: LossWeights) -> tuple[Tensor, Tensor]:
    logits = logits.float()
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    entropy = (entropy * voxel_weights).mean(dim=(0, 2, 3, 4))
    dice = _dice(logits.sigmoid(), targets, voxel_weights, weights)
    return (weights.cross_entropy * entropy + 1 - dice).mean(), dice


def _dice(probability: Tensor, targets: Tensor, voxel_weights: Tensor, weights: LossWeights) -> Tensor:
    """Compute the soft Dice (K,) of all patches of a step, over all ranks."""
    predicted, reference = probability * voxel_weights, targets * voxel_weights
    overlap = 2 * (predicted * targets).sum(dim=(0, 2, 3, 4))
    size = ((predicted * probability if weights.squared_dice else predicted) + reference).sum(dim=(0, 2, 3, 4))
    overlap, size = distributed.all_reduce_sum(torch.stack([overlap, size]))
    if weights.squared_dice:
        return overlap / (size + _EPSILON)
    return (overlap + weights.dice_smoothing_voxels) / (size + weights.dice_smoothing_voxels)


def region_targets(labels: Tensor) -> Tensor:
    """Return masks ET, TC, WT (3, D, H, W) float of labels (D, H, W) in the label schema "magpie"."""
    schema = label_schema("magpie")
    enhancing = labels == schema.value(Tissue.ET)
    return torch.stack([enhancing, enhancing | (labels == schema.value(Tissue.NCR)), labels > 0]).float()
