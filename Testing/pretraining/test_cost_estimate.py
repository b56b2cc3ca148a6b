"""The cost estimate of a pretraining: its trends, and the counted and measured parts."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from magpie_core.errors import InputError
from magpie_core.networks.config import ExpertsConfig, NetworkConfig
from magpie_core.pretraining.config import PretrainingConfig
from magpie_core.pretraining.cost_estimate import GPUS, CostEstimate, StepCost, gpu
from magpie_core.pretraining.step_benchmark import measure_step_cost

COST = StepCost(
    flops=6e11,
    traffic_bytes=3e10,
    kernels=5000,
    activation_bytes=1.6e9,
    parameters=30_000_000,
    draw_s=0.01,
    forward_backward_s=2.0,
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
def estimate(request) -> CostEstimate:
    selected = None if request.param is None else gpu(request.param)
    return CostEstimate(COST, 43_505, gpus=4, gpu=selected)


def test_more_scans_or_epochs_take_longer_and_more_disk(estimate):
    hours = [replace(estimate, scans=scans).hours for scans in (100, 1000, 10_000, 43_505)]
    assert hours == sorted(hours) and hours[0] < hours[-1]
    assert replace(estimate, epochs=200).hours == pytest.approx(2 * estimate.hours, rel=1e-3)
    assert replace(estimate, scans=2 * estimate.scans).disk_gb == pytest.approx(2 * estimate.disk_gb)
    assert replace(estimate, scans=2 * estimate.scans).memory_gb == estimate.memory_gb


def test_twice_the_gpus_take_half_the_time_but_for_the_all_reduce(estimate):
    alone, two, four = (replace(estimate, gpus=count) for count in (1, 2, 4))
    assert alone.all_reduce_s == 0 and 0 < two.all_reduce_s < four.all_reduce_s
    for fewer, more in ((alone, two), (two, four)):
        overhead = more.all_reduce_s - fewer.all_reduce_s
        assert fewer.hours / 2 < more.hours
        assert more.hours == pytest.approx(fewer.hours / 2 * (1 + overhead / fewer.step_s), rel=1e-3)
        assert more.memory_gb == fewer.memory_gb


def test_steps_cover_all_scans(estimate):
    odd = replace(estimate, scans=101, epochs=3, batch_size=4, gpus=3)
    assert odd.steps * 12 >= 303 > (odd.steps - 1) * 12


def test_disk_follows_from_the_bytes_of_a_scan(estimate):
    assert replace(estimate, scan_bytes=2e6).disk_gb == pytest.approx(43_505 * 2e6 / 1e9)
    assert replace(estimate, spacing_mm=1.0).disk_gb == pytest.approx(8 * estimate.disk_gb)
    assert replace(estimate, modalities=3).disk_gb == pytest.approx(2 * estimate.disk_gb)


def test_memory_is_training_state_and_activations(estimate):
    grown = replace(estimate, batch_size=8).memory_gb - estimate.memory_gb
    assert grown == pytest.approx(4 * COST.activation_bytes / 1e9)
    assert estimate.memory_gb > 20 * COST.parameters / 1e9


def test_step_is_limited_by_its_slowest_part():
    h100 = GPUS["H100"]
    usual = COST.on_gpu(h100, 4)
    for costlier in ({"flops": 1e15}, {"traffic_bytes": 1e14}, {"kernels": 10_000_000}, {"draw_s": 10.0}):
        assert replace(COST, **costlier).on_gpu(h100, 4) > 10 * usual, costlier
    free = replace(COST, flops=0.0, traffic_bytes=0.0, draw_s=0.0)
    assert free.on_gpu(h100, 1) == free.on_gpu(h100, 8) > 0  # launching alone


def test_faster_gpu_is_never_slower():
    assert COST.on_gpu(GPUS["B200"], 4) <= COST.on_gpu(GPUS["H200"], 4) <= COST.on_gpu(GPUS["H100"], 4)
    assert COST.on_gpu(GPUS["H100"], 4) <= COST.on_gpu(GPUS["A100"], 4) <= COST.on_gpu(GPUS["V100"], 4)


def test_gpus_are_found_by_any_spelling_and_others_refused():
    assert gpu("rtx-4090") == gpu("RTX4090") == GPUS["RTX 4090"]
    with pytest.raises(InputError, match="Unknown GPU"):
        gpu("Voodoo 2")


@pytest.mark.parametrize("wrong", [{"scans": 0}, {"gpus": 0}, {"epochs": -1}, {"spacing_mm": 0.0}])
def test_impossible_estimate_is_refused(wrong):
    with pytest.raises(InputError):
        CostEstimate(**{"cost": COST, "scans": 10} | wrong)


@pytest.fixture(scope="module")
def measured() -> dict[tuple, StepCost]:
    """The same network with views of two sizes."""
    sizes = ((32, 32, 32), (32, 32, 64))
    return {size: measure_step_cost(TINY, PretrainingConfig(view_size=size), steps=1) for size in sizes}


class TestMeasure:
    def test_steps_are_counted_and_timed(self, measured):
        for cost in measured.values():
            assert cost.flops > 1e6 and cost.activation_bytes > 1e5 and cost.kernels > 100
            assert cost.traffic_bytes > cost.activation_bytes
            assert min(cost.draw_s, cost.forward_backward_s, cost.update_s) > 0

    def test_cost_is_proportional_to_the_voxels(self, measured):
        small, large = measured.values()
        for name in ("flops", "traffic_bytes", "activation_bytes"):
            assert getattr(large, name) == pytest.approx(2 * getattr(small, name), rel=0.2), name
        assert small.parameters == large.parameters

    def test_counting_alone_agrees_and_measures_no_times(self, measured):
        counted = measure_step_cost(TINY, PretrainingConfig(view_size=(32, 32, 64)), steps=0)
        large = measured[32, 32, 64]
        assert math.isnan(counted.forward_backward_s) and counted.draw_s > 0
        assert counted.flops == pytest.approx(large.flops, rel=0.1)
        assert counted.traffic_bytes == pytest.approx(large.traffic_bytes, rel=0.25)

    @pytest.mark.parametrize("groups", [1, 8])
    def test_flops_of_a_convolution_are_three_times_its_forward_pass(self, groups):
        from torch.utils.flop_counter import FlopCounterMode

        from magpie_core.pretraining.step_benchmark import _FORMULAS

        images = torch.randn(2, 8, 6, 7, 8, requires_grad=True)
        kernels = torch.randn(8, 8 // groups, 3, 3, 3, requires_grad=True)
        with FlopCounterMode(display=False, custom_mapping=_FORMULAS) as counted:
            torch.nn.functional.conv3d(images, kernels, padding=1, groups=groups).sum().backward()
        assert counted.get_total_flops() == 3 * 2 * (2 * 6 * 7 * 8) * 27 * 8 * 8 // groups
