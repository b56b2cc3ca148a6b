"""The training losses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from magpie_core.networks.magpie_net import NetworkOutput
from magpie_core.networks.mixture_of_experts import route
from magpie_core.training.losses import LossWeights, expert_overlap, region_loss, region_targets


@pytest.fixture
def targets() -> torch.Tensor:
    """ET inside core inside edema, 16^3."""
    labels = torch.zeros(16, 16, 16, dtype=torch.long)
    labels[2:14, 2:14, 2:10] = 2
    labels[4:12, 4:12, 2:8] = 1
    labels[4:8, 4:8, 2:6] = 3
    return region_targets(labels)[None]


def test_region_loss_is_small_for_a_perfect_output_and_large_for_a_wrong_one(targets) -> None:
    right = region_loss(NetworkOutput(targets * 40 - 20), targets)
    wrong = region_loss(NetworkOutput(20 - targets * 40), targets)
    assert float(right.loss) < 0.01 < 10 < float(wrong.loss)
    assert right.region_dice.min() > 0.99


def test_region_loss_ignores_voxels_of_weight_zero(targets) -> None:
    logits = targets * 40 - 20
    wrong_there = logits.clone()
    wrong_there[..., :8] *= -1
    voxels = torch.ones_like(targets[:, :1])
    voxels[..., :8] = 0
    kept = region_loss(NetworkOutput(wrong_there), targets, 0.0, voxels).loss
    assert float(kept) == pytest.approx(float(region_loss(NetworkOutput(logits), targets, 0.0, voxels).loss))


def _routed(targets: torch.Tensor, experts: tuple[int, int, int], shared: float = 0.5):
    """Tokens of 2^3 voxels, each region sent to its expert; enhancing tumor to the core's as well."""
    enhancing, core, whole = (part[::2, ::2, ::2].flatten() > 0 for part in targets[0])
    probabilities = torch.zeros(512, 8)
    probabilities[~whole, 7] = 1.0
    probabilities[whole & ~core, experts[2]] = 1.0
    probabilities[core & ~enhancing, experts[1]] = 1.0
    probabilities[enhancing, experts[0]] += shared
    probabilities[enhancing, experts[1]] += 1 - shared
    return route(probabilities.clamp_min(1e-9).log(), 2, None)


@pytest.mark.parametrize("experts", [(0, 1, 2), (6, 3, 5)])
def test_expert_overlap_is_1_for_any_experts_that_divide_the_tumor_by_region(targets, experts) -> None:
    assert float(expert_overlap(_routed(targets, experts), targets)) == pytest.approx(1, abs=1e-5)


def test_expert_overlap_is_lower_for_a_uniform_router_or_a_single_expert(targets) -> None:
    uniform = expert_overlap(route(torch.zeros(512, 8), 2, None), targets)
    one_for_all = expert_overlap(_routed(targets, (4, 4, 4)), targets)
    no_core = expert_overlap(_routed(targets, (0, 1, 2), shared=1.0), targets)
    assert max(float(uniform), float(one_for_all)) < 0.5 < float(no_core) < 0.95


def test_expert_overlap_of_top_1_routing_splits_core_and_enhancing_tumor(targets) -> None:
    routing = _routed(targets, (0, 1, 2), shared=1.0)
    alone = replace(routing, chosen=routing.chosen[:, :1])
    assert float(expert_overlap(alone, targets)) == pytest.approx(1, abs=1e-5)


def test_expert_overlap_is_1_without_tumor() -> None:
    assert float(expert_overlap(route(torch.zeros(512, 8), 2, None), torch.zeros(1, 3, 16, 16, 16))) == 1.0


def test_expert_overlap_is_nan_for_a_diverged_router(targets) -> None:
    routing = route(torch.full((512, 8), torch.nan), 2, None)
    assert expert_overlap(routing, targets).isnan()


def test_expert_overlap_ignores_the_background(targets) -> None:
    whole = targets[0, 2, ::2, ::2, ::2].flatten() > 0
    logits = _routed(targets, (0, 1, 2)).probabilities.clamp_min(1e-9).log()
    logits[~whole] = 0.0
    assert float(expert_overlap(route(logits, 2, None), targets)) < 0.97
    assert float(expert_overlap(route(logits, 2, whole), targets)) == pytest.approx(1, abs=1e-5)


def test_expert_overlap_loss_trains_routers_to_divide_the_tumor(targets) -> None:
    torch.manual_seed(0)
    weights = LossWeights(balance=0.0, router_z=0.0, expert_overlap=1.0)
    logits = (0.1 * torch.randn(512, 8)).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(60):
        output = NetworkOutput(targets * 40 - 20, routing=(route(logits, 2, None),))
        loss = region_loss(output, targets, weights=weights).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(expert_overlap(route(logits.detach(), 2, None), targets)) > 0.9
