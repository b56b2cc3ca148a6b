"""The reckoning of a pretraining: it moves the right way, and its parts are what was counted."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from magpie_core.errors import InputError
from magpie_core.networks.config import ExpertsConfig, NetworkConfig
from magpie_core.pretraining.config import PretrainingConfig
from magpie_core.pretraining.cost_estimate import GPUS, PretrainingPlan, StepWork, gpu
from magpie_core.pretraining.step_benchmark import measure_pretraining

WORK = StepWork(
    flops=6e11,
    traffic_bytes=3e10,
    kernels=5000,
    kept_bytes=1.6e9,
    parameters=30_000_000,
    draw_s=0.01,
    pass_s=2.0,
    update_s=0.1,
)
TINY = NetworkConfig(
    widths=(4, 8),
    encoder_blocks=(1, 1),
    decoder_blocks=(1,),
    experts=ExpertsConfig(blocks=(0, 1), experts=4, expansion=2.0),
    refinement_channels=4,
    deep_supervision=0,
)


@pytest.fixture(params=[None, "H200", "RTX 4090"], ids=str)
def plan(request) -> PretrainingPlan:
    card = None if request.param is None else gpu(request.param)
    return PretrainingPlan(WORK, 43_505, gpus=4, gpu=card)


def test_more_scans_or_passes_take_longer_and_more_disk(plan):
    hours = [replace(plan, scans=scans).hours for scans in (100, 1000, 10_000, 43_505)]
    assert hours == sorted(hours) and hours[0] < hours[-1]
    assert replace(plan, passes=200).hours == pytest.approx(2 * plan.hours, rel=1e-3)
    assert replace(plan, scans=2 * plan.scans).disk_gb == pytest.approx(2 * plan.disk_gb)
    assert replace(plan, scans=2 * plan.scans).memory_gb == plan.memory_gb


def test_twice_the_cards_take_half_the_time_but_for_the_exchange(plan):
    alone, two, four = (replace(plan, gpus=count) for count in (1, 2, 4))
    assert alone.exchange_s == 0 and 0 < two.exchange_s < four.exchange_s
    for fewer, more in ((alone, two), (two, four)):
        lost = more.exchange_s - fewer.exchange_s
        assert fewer.hours / 2 < more.hours
        assert more.hours == pytest.approx(fewer.hours / 2 * (1 + lost / fewer.step_s), rel=1e-3)
        assert more.memory_gb == fewer.memory_gb


def test_all_scans_are_seen(plan):
    odd = replace(plan, scans=101, passes=3, places=4, gpus=3)
    assert odd.steps * 12 >= 303 > (odd.steps - 1) * 12


def test_disk_follows_from_bytes_of_a_scan_where_they_are_known(plan):
    assert replace(plan, scan_bytes=2e6).disk_gb == pytest.approx(43_505 * 2e6 / 1e9)
    assert replace(plan, spacing_mm=1.0).disk_gb == pytest.approx(8 * plan.disk_gb)
    assert replace(plan, modalities=3).disk_gb == pytest.approx(2 * plan.disk_gb)


def test_memory_is_state_and_what_waits_for_the_backward_pass(plan):
    grown = replace(plan, places=8).memory_gb - plan.memory_gb
    assert grown == pytest.approx(4 * WORK.kept_bytes / 1e9)
    assert plan.memory_gb > 20 * WORK.parameters / 1e9


def test_a_step_is_limited_by_the_slowest_part():
    card = GPUS["H100"]
    usual = WORK.on(card, 4)
    for dearer in (
        {"flops": 1e15},
        {"traffic_bytes": 1e14},
        {"kernels": 10_000_000},
        {"draw_s": 10.0},
    ):
        assert replace(WORK, **dearer).on(card, 4) > 10 * usual, dearer
    free = replace(WORK, flops=0.0, traffic_bytes=0.0, draw_s=0.0)
    assert free.on(card, 1) == free.on(card, 8) > 0  # launching alone


def test_a_faster_card_is_never_slower():
    assert WORK.on(GPUS["B200"], 4) <= WORK.on(GPUS["H200"], 4) <= WORK.on(GPUS["H100"], 4)
    assert WORK.on(GPUS["H100"], 4) <= WORK.on(GPUS["A100"], 4) <= WORK.on(GPUS["V100"], 4)


def test_cards_are_found_by_any_spelling_and_others_refused():
    assert gpu("rtx-4090") == gpu("RTX4090") == GPUS["RTX 4090"]
    with pytest.raises(InputError, match="not known"):
        gpu("Voodoo 2")


@pytest.mark.parametrize("wrong", [{"scans": 0}, {"gpus": 0}, {"passes": -1}, {"spacing_mm": 0.0}])
def test_an_impossible_plan_is_refused(wrong):
    with pytest.raises(InputError):
        PretrainingPlan(**{"work": WORK, "scans": 10} | wrong)


@pytest.fixture(scope="module")
def measured() -> dict[tuple, StepWork]:
    """The same network with views of two sizes."""
    sizes = ((32, 32, 32), (32, 32, 64))
    return {box: measure_pretraining(TINY, PretrainingConfig(box=box), steps=1) for box in sizes}


class TestMeasure:
    def test_it_really_takes_steps(self, measured):
        for work in measured.values():
            assert work.flops > 1e6 and work.kept_bytes > 1e5 and work.kernels > 100
            assert work.traffic_bytes > work.kept_bytes
            assert min(work.draw_s, work.pass_s, work.update_s) > 0

    def test_work_goes_with_the_voxels(self, measured):
        small, large = measured.values()
        for name in ("flops", "traffic_bytes", "kept_bytes"):
            assert getattr(large, name) == pytest.approx(2 * getattr(small, name), rel=0.2), name
        assert small.parameters == large.parameters

    def test_counting_alone_agrees_and_takes_no_times(self, measured):
        counted = measure_pretraining(TINY, PretrainingConfig(box=(32, 32, 64)), steps=0)
        large = measured[32, 32, 64]
        assert math.isnan(counted.pass_s) and counted.draw_s > 0
        assert counted.flops == pytest.approx(large.flops, rel=0.1)
        assert counted.traffic_bytes == pytest.approx(large.traffic_bytes, rel=0.25)

    @pytest.mark.parametrize("groups", [1, 8])
    def test_arithmetic_of_a_convolution_is_three_times_its_forward_pass(self, groups):
        from torch.utils.flop_counter import FlopCounterMode

        from magpie_core.pretraining.step_benchmark import _FORMULAS

        images = torch.randn(2, 8, 6, 7, 8, requires_grad=True)
        kernels = torch.randn(8, 8 // groups, 3, 3, 3, requires_grad=True)
        with FlopCounterMode(display=False, custom_mapping=_FORMULAS) as counted:
            torch.nn.functional.conv3d(images, kernels, padding=1, groups=groups).sum().backward()
        assert counted.get_total_flops() == 3 * 2 * (2 * 6 * 7 * 8) * 27 * 8 * 8 // groups
