"""The losses of the papers and ours, against numbers worked out without torch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from magpie_core.networks.config import NetworkConfig
from magpie_core.networks.magpie_net import NetworkOutput, as_regions
from magpie_core.networks.mixture_of_experts import route
from magpie_core.networks.tissue_logits import region_log_odds
from magpie_core.training.losses import MOME_LOSS, PAPER_LOSS, LossWeights, curriculum_loss, region_loss

SHAPE = (2, 3, 4, 6, 8)  # not a cube: two patches, three regions


@pytest.fixture
def logits() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 2, SHAPE)


@pytest.fixture
def targets() -> np.ndarray:
    return (np.random.default_rng(2).random(SHAPE) < 0.3).astype(float)


def _probabilities(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def _entropy(logits: np.ndarray, targets: np.ndarray) -> float:
    p = _probabilities(logits)
    return float(-(targets * np.log(p) + (1 - targets) * np.log(1 - p)).mean())


def _squared_dice(logits: np.ndarray, targets: np.ndarray) -> float:
    p = _probabilities(logits)
    regions = [
        2 * (p[:, k] * targets[:, k]).sum() / ((p[:, k] ** 2).sum() + (targets[:, k] ** 2).sum())
        for k in range(SHAPE[1])
    ]
    return float(np.mean(regions))


def _smooth_dice(logits: np.ndarray, targets: np.ndarray) -> float:
    p = _probabilities(logits)
    regions = [
        (2 * (p[:, k] * targets[:, k]).sum() + 20) / (p[:, k].sum() + targets[:, k].sum() + 20) for k in range(SHAPE[1])
    ]
    return float(np.mean(regions))


def _loss(output: NetworkOutput, targets: np.ndarray, weights: LossWeights, progress: float = 0.0) -> float:
    return float(region_loss(output, torch.tensor(targets), progress, weights=weights).loss)


def test_magpie_equation_12_dice_has_a_squared_denominator(logits, targets):
    alone = replace(PAPER_LOSS, cross_entropy=0.0, balance=0.0)
    found = _loss(NetworkOutput(torch.tensor(logits)), targets, alone)
    assert found == pytest.approx(1 - _squared_dice(logits, targets), rel=1e-5)


def test_magpie_equation_12_dice_of_an_absent_region_is_zero_for_any_probability(logits):
    empty = np.zeros(SHAPE)
    assert _loss(NetworkOutput(torch.tensor(logits)), empty, replace(PAPER_LOSS, cross_entropy=0.0)) == 1.0


def test_magpie_equation_11_cross_entropy_counts_as_much_as_dice(logits, targets):
    found = _loss(NetworkOutput(torch.tensor(logits)), targets, PAPER_LOSS)
    assert found == pytest.approx(1 - _squared_dice(logits, targets) + _entropy(logits, targets), rel=1e-5)


def test_magpie_equation_10_adds_a_hundredth_of_the_mean_load_balance_and_nothing_else(logits, targets):
    coarse = torch.randn(2, 3, 2, 3, 4)  # deep supervision is not the paper's
    router = torch.randn(40, 8) * 3
    routing = (route(router, 2, None), route(router * 2, 2, None))
    output = NetworkOutput(torch.tensor(logits), (coarse,), routing)
    balance = []
    for factor in (1, 2):
        share = np.exp(factor * router.double().numpy())
        share /= share.sum(axis=1, keepdims=True)
        chosen = np.argsort(-share, axis=1)[:, :2]
        load = np.bincount(chosen.ravel(), minlength=8) / chosen.size
        balance.append(8 * (load * share.mean(axis=0)).sum())
    expected = 1 - _squared_dice(logits, targets) + _entropy(logits, targets) + 0.01 * np.mean(balance)
    assert _loss(output, targets, PAPER_LOSS) == pytest.approx(expected, rel=1e-5)


def test_default_loss_is_dice_four_times_cross_entropy_deep_supervision_and_routing(logits, targets):
    coarse = np.random.default_rng(3).normal(0, 2, (2, 3, 2, 3, 4))
    pooled = targets.reshape(2, 3, 2, 2, 3, 2, 4, 2).max(axis=(3, 5, 7))
    routing = route(torch.randn(40, 8), 2, None)
    output = NetworkOutput(
        torch.tensor(logits), (torch.tensor(coarse), torch.tensor(coarse[:, :, :1, :1, :1])), (routing,)
    )
    tiny = coarse[:, :, :1, :1, :1]
    levels = [
        4 * _entropy(values, wanted) + 1 - _smooth_dice(values, wanted)
        for values, wanted in ((logits, targets), (coarse, pooled), (tiny, targets.max(axis=(2, 3, 4), keepdims=True)))
    ]
    expected = levels[0] + 0.3 * (levels[1] + 0.5 * levels[2])
    expected += 0.01 * float(routing.balance_loss) + 0.001 * float(routing.z_loss)
    assert _loss(output, targets, LossWeights()) == pytest.approx(expected, rel=1e-5)


def test_voxel_weights_scale_cross_entropy_and_leave_voxels_out_of_dice(logits, targets):
    weights = (np.random.default_rng(4).random((2, 1, 4, 6, 8)) < 0.5).astype(float)
    p = _probabilities(logits)
    entropy = -(targets * np.log(p) + (1 - targets) * np.log(1 - p)) * weights
    p, g = p * weights, targets * weights
    axes = (0, 2, 3, 4)
    dice = (2 * (p * g).sum(axis=axes) / ((p**2).sum(axis=axes) + (g**2).sum(axis=axes))).mean()
    result = region_loss(
        NetworkOutput(torch.tensor(logits)), torch.tensor(targets), 0.0, torch.tensor(weights), PAPER_LOSS
    )
    assert float(result.loss) == pytest.approx(entropy.mean() + 1 - dice, rel=1e-5)


def _nested(masks: np.ndarray) -> np.ndarray:
    """ET, TC and WT of which each holds the one before."""
    return np.maximum.accumulate(masks, axis=1)


def _softmax_loss(levels: list[np.ndarray], regions: np.ndarray) -> float:
    """Of nnU-Net: cross-entropy and Dice without background, weights 1, 1/2, ... that sum to 1."""
    total, weights = 0.0, 0.5 ** np.arange(len(levels))
    for values, weight in zip(levels, weights / weights.sum(), strict=True):
        factor = regions.shape[2] // values.shape[2]
        shape = (*regions.shape[:2], *(part for n in values.shape[2:] for part in (n, factor)))
        enhancing, core, whole = np.moveaxis(regions.reshape(shape).max(axis=(3, 5, 7)), 1, 0)
        wanted = np.stack([1 - whole, core - enhancing, whole - core, enhancing], axis=1)
        share = np.exp(values) / np.exp(values).sum(axis=1, keepdims=True)
        entropy = -(wanted * np.log(share)).sum(axis=1).mean()
        axes = (0, 2, 3, 4)
        dice = 2 * (share * wanted).sum(axis=axes) / (share.sum(axis=axes) + wanted.sum(axis=axes))
        total += weight * (entropy + 1 - dice[1:].mean())
    return float(total)


def test_mome_loss_is_softmax_cross_entropy_and_dice_at_every_level(targets):
    regions = _nested(targets)
    rng = np.random.default_rng(5)
    levels = [rng.normal(0, 2, (2, 4, *size)) for size in ((4, 6, 8), (2, 3, 4))]
    network = NetworkConfig(output="tissues")
    output = NetworkOutput(torch.tensor(levels[0]), (torch.tensor(levels[1]),))
    found = _loss(as_regions(output, network), regions, MOME_LOSS)
    assert found == pytest.approx(_softmax_loss(levels, regions), rel=1e-4)


def test_mome_indicator_counts_an_expert_on_the_samples_of_its_modality_alone(targets):
    regions = torch.tensor(_nested(targets))
    rng = np.random.default_rng(6)
    experts = [torch.tensor(rng.normal(0, 2, (2, 4, 4, 6, 8))) for _ in range(3)]
    network = NetworkConfig(output="tissues")
    present = torch.tensor([[True, False, False], [False, False, True]])  # an image of one modality each
    output = replace(
        as_regions(NetworkOutput(experts[0]), network),
        expert_outputs=tuple(as_regions(NetworkOutput(values), network) for values in experts),
        expert_present=present,
    )
    found = float(curriculum_loss(output, regions, 0.0, weights=MOME_LOSS).loss)
    own = [_softmax_loss([experts[e][i : i + 1].numpy()], regions[i : i + 1].numpy()) for i, e in ((0, 0), (1, 2))]
    assert found == pytest.approx(np.mean(own), rel=1e-4)


def test_a_softmax_gives_the_log_odds_of_sums_of_its_probabilities():
    logits = np.random.default_rng(7).normal(0, 3, (2, 4, 2, 3, 4))
    share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = region_log_odds(torch.tensor(logits)).sigmoid().numpy()
    wanted = np.stack([share[:, 3], share[:, 1] + share[:, 3], 1 - share[:, 0]], axis=1)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("progress", [0.0, 0.25, 1.0])
def test_mome_equation_2_goes_from_the_experts_own_losses_to_the_joint_one(logits, targets, progress):
    own = [NetworkOutput(torch.tensor(logits + shift)) for shift in (-1.0, 2.0)]
    output = NetworkOutput(torch.tensor(logits), expert_outputs=tuple(own))
    found = float(curriculum_loss(output, torch.tensor(targets), progress, weights=PAPER_LOSS).loss)
    alone = np.mean([_loss(one, targets, PAPER_LOSS) for one in own])
    expected = (1 - progress) ** 2 * alone + (1 - (1 - progress) ** 2) * _loss(output, targets, PAPER_LOSS)
    assert found == pytest.approx(expected, rel=1e-5)
