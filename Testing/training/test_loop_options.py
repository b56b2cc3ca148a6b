"""Optimizer and schedule, against torch's own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from magpie_core.training.loop_options import LoopOptions, build_optimizer, scheduled_learning_rate
from magpie_core.training.train_state import TrainState

STEPS = 40


def _rates(**options) -> list[float]:
    loop = LoopOptions(budget_steps=STEPS, warmup_steps=0, learning_rate=0.1, **options)
    return [scheduled_learning_rate(loop, step, step / STEPS) for step in range(STEPS)]


def _torchs(schedule, **options) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = schedule(optimizer, **options)
    rates = []
    for _ in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_cosine_schedule_is_torchs_down_to_a_hundredth():
    wanted = _torchs(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=STEPS, eta_min=0.001)
    assert _rates(schedule="cosine") == pytest.approx(wanted)


def test_poly_schedule_is_torchs_with_power_nine_tenths():
    wanted = _torchs(torch.optim.lr_scheduler.PolynomialLR, total_iters=STEPS, power=0.9)
    assert _rates(schedule="poly") == pytest.approx(wanted)


def test_warmup_rises_in_equal_steps_to_the_schedule():
    loop = LoopOptions(warmup_steps=4, learning_rate=0.1)
    assert [scheduled_learning_rate(loop, step, 0.0) for step in range(6)] == pytest.approx(
        [0.025, 0.05, 0.075, 0.1, 0.1, 0.1]
    )


@pytest.mark.parametrize(
    ("options", "reference"),
    [
        (
            LoopOptions(optimizer="sgd", learning_rate=0.1, weight_decay=0.01),
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
        ),
        (
            LoopOptions(learning_rate=0.1, weight_decay=0.02, betas=(0.8, 0.9)),
            lambda p: torch.optim.AdamW(p, lr=0.1, betas=(0.8, 0.9), weight_decay=0.02),
        ),
    ],
)
def test_optimizer_takes_torchs_steps(options, reference):
    torch.manual_seed(0)
    ours = nn.Linear(3, 2)
    theirs = copy.deepcopy(ours)
    inputs = torch.randn(8, 3)
    for network, optimizer in ((ours, build_optimizer(ours, options)), (theirs, reference(theirs.parameters()))):
        for _ in range(5):
            optimizer.zero_grad()
            network(inputs).square().mean().backward()
            optimizer.step()
    assert torch.equal(ours.weight, theirs.weight) and torch.equal(ours.bias, theirs.bias)


@pytest.mark.parametrize("decay", [0.0, 0.05, 0.6])
def test_averaged_weights_follow_the_weights_faster_at_first(decay):
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 5.0)
    state = TrainState(network, LoopOptions(ema_decay=decay, precision="fp32"), "cpu")
    expected, value = 5.0, 5.0
    for step in range(12):
        value += 1.0
        nn.init.constant_(network.weight, value)
        state.ema.update_parameters(network)
        kept = min(decay, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * value
        state.step += 1
        assert float(state.ema.module.weight) == pytest.approx(expected)
    assert not state.ema.module.weight.requires_grad
