"""Where attention looks from a place: in the right millimeters, and without touching the prediction."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from magpie_core.errors import InputError
from magpie_core.experts.attention import attention_points, check_attention
from magpie_core.inference.routing_capture import RoutingCapture
from magpie_core.inference.segment import segment_study
from magpie_core.models.model import load_model
from magpie_core.networks.config import LargeKernelConfig, MultiScaleConfig, NetworkConfig
from magpie_core.networks.magpie_net import MagpieNet


@pytest.fixture
def attentive(tiny_model):
    """The tiny model's description around an untrained network with both attentions, 2 mm and 4 mm tokens."""
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
def seen(attentive, make_study):
    """The study as the network sees it, and the prediction before anybody looked at the attention."""
    capture = RoutingCapture()
    study = make_study()
    return study, capture, segment_study(study, attentive, device="cpu", precision="fp32", capture=capture)


def _middle(working):
    index = np.argwhere(working.brain).mean(axis=0).round()
    return tuple(float(value) for value in working.affine[:3, :3] @ index + working.affine[:3, 3])


def test_points_start_at_the_token_of_the_place_and_weights_sum_to_one(attentive, seen):
    _, capture, _ = seen
    ras = _middle(capture.working)
    points = attention_points(attentive, capture.working, ras, device="cpu", threads=1)
    layers = {point.layer for point in points}
    assert layers == {"multi-scale attention, encoder stage 1", "large-kernel attention, decoder stage 0"}
    for layer, count, token_mm in (
        ("multi-scale attention, encoder stage 1", 2 * 2 * 3, 4),
        ("large-kernel attention, decoder stage 0", 27, 2),
    ):
        own = [point for point in points if point.layer == layer]
        assert len(own) == count and sum(point.weight for point in own) == pytest.approx(1, abs=1e-5)
        middle = np.mean([point.from_ras for point in own], axis=0)
        assert np.abs(middle - ras).max() <= token_mm / 2


def test_offsets_are_millimeters_along_the_right_axes(attentive, seen):
    _, capture, _ = seen
    network = attentive.network
    with torch.no_grad():
        attention = network.encoder.attention["1"]
        bias = torch.zeros(2, 2, 3, 3)
        bias[..., 0], bias[..., 2] = 2.0, -1.0  # x runs along W, upwards; z along D, to the right
        attention.offsets.bias.copy_(bias.flatten())
        network.decoder.attention["0"].offset_pointwise.bias.copy_(torch.tensor([0.0, 1.5, 0.0]).repeat(27))
    points = attention_points(attentive, capture.working, _middle(capture.working), device="cpu", threads=1)
    for point in points:
        way = np.subtract(point.ras, point.from_ras)
        if point.layer.startswith("multi"):
            voxel_mm = 4 / 2**point.level
            np.testing.assert_allclose(way, (-voxel_mm, 0, 2 * voxel_mm), atol=1e-3)
        else:
            np.testing.assert_allclose(way, (0, 3, 0), atol=1e-3)
    taps = np.array([point.from_ras for point in points if not point.layer.startswith("multi")])
    np.testing.assert_allclose(np.ptp(taps, axis=0), 4, atol=1e-3)  # a tap to each side, 2 mm each
    np.testing.assert_allclose(taps[0] - taps[-1], -4, atol=1e-3)
    np.testing.assert_allclose(
        taps[1] - taps[0], (0, 0, 2), atol=1e-3
    )  # the kernel's last axis is the fastest


def test_looking_does_not_change_a_bit_of_the_prediction(attentive, seen):
    study, capture, before = seen
    attention_points(attentive, capture.working, _middle(capture.working), device="cpu", threads=1)
    after = segment_study(study, attentive, device="cpu", precision="fp32")
    assert np.array_equal(before.probabilities, after.probabilities)


@pytest.mark.parametrize("ras", [(0.0, 0.0, 400.0), (float("nan"), 0.0, 0.0)])
def test_a_place_outside_the_brain_is_refused(attentive, seen, ras):
    with pytest.raises(InputError, match="outside the brain"):
        attention_points(attentive, seen[1].working, ras, device="cpu", threads=1)


def test_a_model_without_attention_says_so(tiny_model, seen):
    model = load_model(tiny_model)
    with pytest.raises(InputError, match="no attention parts"):
        check_attention(model)
    with pytest.raises(InputError, match="no attention parts"):
        attention_points(model, seen[1].working, (0.0, 0.0, 0.0))
