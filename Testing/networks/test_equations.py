"""MAGPIE's attention, experts and heads voxel by voxel, against formulas computed without torch's operators."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from scipy.special import erf, softmax

from magpie_core.networks.config import ExpertsConfig
from magpie_core.networks.large_kernel_attention import DeformableLargeKernelAttention
from magpie_core.networks.magpie_net import MagpieNet
from magpie_core.networks.mixture_of_experts import MixtureOfExperts
from magpie_core.networks.multi_scale_attention import MultiScaleDeformableAttention


def _normalized(maps: np.ndarray) -> np.ndarray:
    """Instance normalization of (C, D, H, W) without scale and shift."""
    mean = maps.mean(axis=(1, 2, 3), keepdims=True)
    return (maps - mean) / np.sqrt(maps.var(axis=(1, 2, 3), keepdims=True) + 1e-5)


def _linear(layer: torch.nn.Module, rows: np.ndarray) -> np.ndarray:
    """A linear layer, or a convolution of one voxel, on rows (N, C)."""
    weight = layer.weight.detach().double().numpy().reshape(layer.weight.shape[0], -1)
    return rows @ weight.T + layer.bias.detach().double().numpy()


def _gelu(values: np.ndarray) -> np.ndarray:
    return values * 0.5 * (1 + erf(values / np.sqrt(2)))


def _rows(maps: np.ndarray) -> np.ndarray:
    return maps.reshape(len(maps), -1).T


def test_magpie_ms_da_samples_each_scale_at_its_offsets():
    """x + gamma project(sum_sn A_sn W_s F_s(p + dp_sn)), offsets in voxels of their scale, sizes that are no cubes."""
    torch.manual_seed(0)
    heads, points = 2, 3
    part = MultiScaleDeformableAttention(6, [6, 4], attention_channels=8, heads=heads, points=points)
    with torch.no_grad():
        for layer in (part.offsets, part.scores):
            layer.weight.normal_(std=0.3)
        part.gamma.uniform_(0.5, 1.5)
    maps = [np.random.default_rng(1).normal(size=(6, 3, 5, 4)), np.random.default_rng(2).normal(size=(4, 6, 10, 8))]
    tensors = [torch.tensor(level, dtype=torch.float32)[None] for level in maps]
    found = part(tensors[0], tensors)[0].detach().numpy()

    tokens = _rows(_normalized(maps[0]))
    offsets = _linear(part.offsets, tokens).reshape(-1, heads, 2, points, 3)
    weights = softmax(_linear(part.scores, tokens).reshape(-1, heads, 2 * points), axis=2).reshape(-1, heads, 2, points)
    places = np.indices(maps[0].shape[1:]).reshape(3, -1).T  # D, H, W
    attended = np.zeros((len(tokens), 8))
    for level, (layer, features) in enumerate(zip(part.values, maps, strict=True)):
        values = _linear(layer, _rows(features)).T.reshape(8, *features.shape[1:])
        times = np.array(features.shape[1:]) / np.array(maps[0].shape[1:])
        at = (places + 0.5) * times - 0.5  # voxel centers in the other scale
        for head in range(heads):
            for point in range(points):
                where = at + offsets[:, head, level, point, ::-1]
                for channel in range(4 * head, 4 * head + 4):
                    sampled = map_coordinates(values[channel], where.T, order=1, mode="grid-constant")
                    attended[:, channel] += weights[:, head, level, point] * sampled
    mixed = part.gamma.detach().double().numpy() * _linear(part.project, attended)
    np.testing.assert_allclose(found, maps[0] + mixed.T.reshape(maps[0].shape), atol=1e-4)


def test_magpie_d_lka_gates_by_a_deformable_and_a_dilated_convolution():
    """x + gamma project(u a), a = pointwise(depthwise(deformable(u))), with offsets that differ by voxel and axis."""
    torch.manual_seed(0)
    kernel, dilation, size = 3, 2, (5, 7, 6)
    part = DeformableLargeKernelAttention(4, kernel=kernel, dilation=dilation)
    with torch.no_grad():
        part.offset_pointwise.weight.normal_(std=0.5)
        part.offset_pointwise.bias.normal_(std=0.5)
        part.gamma.uniform_(0.5, 1.5)
    features = np.random.default_rng(1).normal(size=(4, *size))
    found = part(torch.tensor(features, dtype=torch.float32)[None])[0].detach().numpy()

    inner = _gelu(_linear(part.project_in, _rows(_normalized(features)))).T.reshape(4, *size)
    places = np.indices(size).reshape(3, -1).T
    taps = np.indices((3, 3, 3)).reshape(3, -1).T - 1

    def sampled(values, where):
        return map_coordinates(values, where.T, order=1, mode="grid-constant")

    def depthwise(layer, maps, reach, shifts=None):
        weight, bias = (p.detach().double().numpy() for p in (layer.weight, layer.bias))
        steps = (np.indices((3, 3, 3)).reshape(3, -1).T - 1) * reach
        rows = np.zeros((len(places), 4))
        for channel in range(4):
            for number, step in enumerate(steps):
                moved = 0 if shifts is None else shifts[:, number, ::-1]
                rows[:, channel] += weight[channel].ravel()[number] * sampled(maps[channel], places + step + moved)
            rows[:, channel] += bias[channel]
        return rows

    offsets = _linear(part.offset_pointwise, depthwise(part.offset_depthwise, inner, 1)).reshape(-1, len(taps), 3)
    shaped = depthwise(part.deformable, inner, 1, offsets).T.reshape(4, *size)
    gate = _linear(part.pointwise, depthwise(part.large, shaped, dilation))
    attended = part.gamma.detach().double().numpy() * _linear(part.project_out, _rows(inner) * gate)
    np.testing.assert_allclose(found, features + attended.T.reshape(features.shape), atol=1e-4)


@pytest.mark.parametrize("renormalize", [False, True])
def test_magpie_equations_3_and_4_mix_the_two_most_probable_experts(renormalize):
    torch.manual_seed(0)
    part = MixtureOfExperts(5, 7, ExpertsConfig(blocks=(1,), experts=6, renormalize=renormalize))
    with torch.no_grad():
        part.router.weight.normal_()
        part.expand_bias.normal_()
        part.compress_bias.normal_()
    tokens = np.random.default_rng(1).normal(size=(30, 5))
    found, routing = part(torch.tensor(tokens, dtype=torch.float32))
    logits = tokens @ part.router.weight.detach().double().numpy().T
    share = softmax(logits, axis=1)
    expand, expand_bias, compress, compress_bias = (
        p.detach().double().numpy() for p in (part.expand, part.expand_bias, part.compress, part.compress_bias)
    )
    for number, token in enumerate(tokens):
        best = np.argsort(-share[number])[:2]
        total = share[number, best].sum() if renormalize else 1.0
        expected = sum(
            share[number, e] / total * (_gelu(token @ expand[e] + expand_bias[e]) @ compress[e] + compress_bias[e])
            for e in best
        )
        np.testing.assert_allclose(found[number].detach().numpy(), expected, atol=1e-5)
    log_sum = np.log(np.exp(logits).sum(axis=1))
    entropy = -(share * np.log(share)).sum(axis=1).mean() / np.log(6)
    assert routing.z_loss.item() == pytest.approx(np.mean(log_sum**2), rel=1e-5)
    assert routing.entropy.item() == pytest.approx(entropy, rel=1e-5)


def test_refinement_head_that_passes_sub_voxels_on_adds_the_lost_detail_at_its_place(small_config):
    network = MagpieNet(small_config(magpie=False, modalities=("T1",), regions=("WT",), channel_agnostic=True)).eval()
    head = network.refinement_head
    images = torch.randn(1, 1, 8, 16, 24)
    # The head's own parts are replaced by the identity on the eight sub-voxels of the residual.
    head.stem = _Passing(lambda residual, *_: residual)
    head.block = _Passing(lambda joined: joined[:, -8:])
    head.head = _Passing(lambda details: details)
    output = network(images, ["T1"])
    coarse = torch.nn.functional.interpolate(output.deep_logits[0], scale_factor=2, mode="trilinear")
    mean = images.reshape(4, 2, 8, 2, 12, 2).mean(dim=(1, 3, 5))
    mean = mean.repeat_interleave(2, 0).repeat_interleave(2, 1).repeat_interleave(2, 2)
    torch.testing.assert_close(output.logits[0, 0] - coarse[0, 0], images[0, 0] - mean, atol=1e-5, rtol=1e-4)


class _Passing(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self._function = function

    def forward(self, *arguments):
        return self._function(*arguments)
