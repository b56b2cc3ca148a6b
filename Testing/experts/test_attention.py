"""attention_points: positions in millimeters, weights, and an unchanged prediction."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from magpie_core.errors import InputError
from magpie_core.experts.attention import attention_points, check_attention
from magpie_core.inference.prediction import RoutingCapture
from magpie_core.inference.segment import segment_study
from magpie_core.models.model import load_model
from magpie_core.networks.config import LargeKernelConfig, MultiScaleConfig, NetworkConfig
from magpie_core.networks.magpie_net import MagpieNet


@pytest.fixture
def attention_model(tiny_model):
    """The tiny model with a randomly initialized network with both attentions, of 2 mm and 4 mm tokens."""
    torch.manual_seed(0)
    config = NetworkConfig(
        widths=(4, 8),
        encoder_blocks=(1, 1),
        decoder_blocks=(1,),
        large_kernel=LargeKernelConfig(stages=(0,), kernel=3, dilation=2),
        multi_scale=MultiScaleConfig(finer_levels=(0, 1), channels=8, heads=2, points=3),
        refinement_channels=4,
        deep_supervision=0,
    )
    return replace(load_model(tiny_model), network=MagpieNet(config).eval())


@pytest.fixture
def captured(attention_model, make_study):
    """The study, its routing capture, and the prediction before the attention is computed."""
    capture = RoutingCapture()
    study = make_study()
    return (study, capture, segment_study(study, attention_model, device="cpu", precision="fp32", capture=capture))


def _center(grid):
    index = np.argwhere(grid.brain).mean(axis=0).round()
    return tuple(float(value) for value in grid.affine[:3, :3] @ index + grid.affine[:3, 3])


def test_points_belong_to_the_token_at_the_place_and_weights_sum_to_one(attention_model, captured):
    _, capture, _ = captured
    ras = _center(capture.grid)
    points = attention_points(attention_model, capture.grid, ras, device="cpu", threads=1)
    layers = {point.layer for point in points}
    assert layers == {"multi-scale attention, encoder stage 1", "large-kernel attention, decoder stage 0"}
    for layer, count, token_mm in (
        ("multi-scale attention, encoder stage 1", 2 * 2 * 3, 4),
        ("large-kernel attention, decoder stage 0", 27, 2),
    ):
        own = [point for point in points if point.layer == layer]
        assert len(own) == count and sum(point.weight for point in own) == pytest.approx(1, abs=1e-5)
        center = np.mean([point.from_ras for point in own], axis=0)
        assert np.abs(center - ras).max() <= token_mm / 2


def test_offsets_are_in_millimeters_along_the_right_axes(attention_model, captured):
    _, capture, _ = captured
    network = attention_model.network
    with torch.no_grad():
        attention = network.encoder.attention["1"]
        bias = torch.zeros(2, 2, 3, 3)
        bias[..., 0], bias[..., 2] = 2.0, -1.0  # x runs along W, upwards; z along D, to the right
        attention.offsets.bias.copy_(bias.flatten())
        network.decoder.attention["0"].offset_pointwise.bias.copy_(torch.tensor([0.0, 1.5, 0.0]).repeat(27))
    points = attention_points(attention_model, capture.grid, _center(capture.grid), device="cpu", threads=1)
    for point in points:
        offset = np.subtract(point.ras, point.from_ras)
        if point.layer.startswith("multi"):
            voxel_mm = 4 / 2**point.level
            np.testing.assert_allclose(offset, (-voxel_mm, 0, 2 * voxel_mm), atol=1e-3)
        else:
            np.testing.assert_allclose(offset, (0, 3, 0), atol=1e-3)
    taps = np.array([point.from_ras for point in points if not point.layer.startswith("multi")])
    np.testing.assert_allclose(np.ptp(taps, axis=0), 4, atol=1e-3)  # a tap to each side, 2 mm each
    np.testing.assert_allclose(taps[0] - taps[-1], -4, atol=1e-3)
    np.testing.assert_allclose(taps[1] - taps[0], (0, 0, 2), atol=1e-3)  # the kernel's last axis is the fastest


def test_attention_points_leave_the_prediction_bit_identical(attention_model, captured):
    study, capture, before = captured
    attention_points(attention_model, capture.grid, _center(capture.grid), device="cpu", threads=1)
    after = segment_study(study, attention_model, device="cpu", precision="fp32")
    assert np.array_equal(before.probabilities, after.probabilities)


@pytest.mark.parametrize("ras", [(0.0, 0.0, 400.0), (float("nan"), 0.0, 0.0)])
def test_attention_points_reject_a_place_outside_the_brain(attention_model, captured, ras):
    with pytest.raises(InputError, match="outside the brain"):
        attention_points(attention_model, captured[1].grid, ras, device="cpu", threads=1)


def test_attention_points_reject_a_model_without_deformable_attention(tiny_model, captured):
    model = load_model(tiny_model)
    with pytest.raises(InputError, match="no deformable attention"):
        check_attention(model)
    with pytest.raises(InputError, match="no deformable attention"):
        attention_points(model, captured[1].grid, (0.0, 0.0, 0.0))
