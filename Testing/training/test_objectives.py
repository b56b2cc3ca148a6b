"""What training minimises."""

from __future__ import annotations

import math

import pytest
import torch

from magpie_core.networks.output import NetworkOutput
from magpie_core.networks.routing import route
from magpie_core.training.objectives import (
    ObjectiveWeights,
    region_objective,
    region_targets,
    routing_information,
)


@pytest.fixture
def targets() -> torch.Tensor:
    """ET inside core inside edema, 16^3."""
    labels = torch.zeros(16, 16, 16, dtype=torch.long)
    labels[2:14, 2:14, 2:10] = 2
    labels[4:12, 4:12, 2:8] = 1
    labels[4:8, 4:8, 2:6] = 3
    return region_targets(labels)[None]


def test_a_perfect_answer_costs_little_and_a_wrong_one_much(targets) -> None:
    right = region_objective(NetworkOutput(targets * 40 - 20), targets)
    wrong = region_objective(NetworkOutput(20 - targets * 40), targets)
    assert float(right.loss) < 0.01 < 10 < float(wrong.loss)
    assert right.region_dice.min() > 0.99


def test_voxels_that_do_not_count_do_not_matter(targets) -> None:
    logits = targets * 40 - 20
    spoilt = logits.clone()
    spoilt[..., :8] *= -1
    voxels = torch.ones_like(targets[:, :1])
    voxels[..., :8] = 0
    kept = region_objective(NetworkOutput(spoilt), targets, 0.0, voxels).loss
    assert float(kept) == pytest.approx(
        float(region_objective(NetworkOutput(logits), targets, 0.0, voxels).loss)
    )


def _tissue(targets: torch.Tensor) -> torch.Tensor:
    """Of each token of 2^3 voxels: 0 ET, 1 other core, 2 edema, 3 the rest."""
    enhancing, core, whole = targets[0]
    label = torch.where(enhancing > 0, 0, torch.where(core > 0, 1, torch.where(whole > 0, 2, 3)))
    return label[::2, ::2, ::2].flatten()


def test_information_of_routers_that_know_the_tissue_or_nothing(targets) -> None:
    logits = torch.full((512, 8), -30.0)
    logits[torch.arange(512), _tissue(targets)] = 0.0
    token, tissue = routing_information(route(logits, 2, None), targets)
    assert float(tissue) == pytest.approx(math.log(4), abs=1e-3)
    assert 0 < float(token) < math.log(4)
    token, tissue = routing_information(route(torch.zeros(512, 8), 2, None), targets)
    assert float(token) == pytest.approx(0, abs=1e-5) and float(tissue) == pytest.approx(0, abs=1e-5)


def test_decisive_routers_that_ignore_the_tissue_tell_of_tokens_alone(targets) -> None:
    torch.manual_seed(0)
    logits = torch.full((512, 8), -30.0)
    logits[torch.arange(512), torch.randperm(512) % 8] = 0.0
    token, tissue = routing_information(route(logits, 2, None), targets)
    assert float(token) == pytest.approx(math.log(8), abs=1e-3)
    assert float(tissue) < 0.2


def test_air_does_not_count(targets) -> None:
    logits = torch.full((512, 8), -30.0)
    logits[torch.arange(512), _tissue(targets)] = 0.0
    counted = torch.ones(512, dtype=torch.bool)
    counted[_tissue(targets) == 3] = False
    _, tissue = routing_information(route(logits, 2, counted), targets)
    assert float(tissue) == pytest.approx(math.log(3), abs=1e-3)


def test_more_information_lowers_the_loss(targets) -> None:
    weights = ObjectiveWeights(balance=0.0, router_z=0.0, tissue_information=0.5)
    logits = torch.zeros(512, 8, requires_grad=True)
    loss = region_objective(
        NetworkOutput(targets * 40 - 20, routing=(route(logits, 2, None),)), targets, weights=weights
    ).loss
    blind = float(loss.detach())
    with torch.no_grad():
        logits[torch.arange(512), _tissue(targets)] = 3.0
    knowing = region_objective(
        NetworkOutput(targets * 40 - 20, routing=(route(logits, 2, None),)), targets, weights=weights
    ).loss
    knowing.backward()
    assert float(knowing.detach()) < blind and logits.grad.abs().sum() > 0
