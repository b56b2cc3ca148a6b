"""Sliding windows and flips of a network whose output is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import expit

from magpie_core.inference.sliding_window import PatchOptions, region_probabilities
from magpie_core.networks.device import Device

CPU = Device("cpu", "fp32")


class _Pointwise(torch.nn.Module):
    """Logits that are the image; with `ramp`, times the voxel's place in the patch along each axis."""

    config = SimpleNamespace(stride=4)

    def __init__(self, ramp: bool) -> None:
        super().__init__()
        self.ramp = ramp
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, images, modalities):
        self.sizes.append(tuple(images.shape[2:]))
        logits = images[:, :1].clone()
        if self.ramp:
            x, y, z = (torch.arange(float(n)) for n in images.shape[2:])
            logits = logits * (x[:, None, None] + 0.1 * y[:, None] + 0.01 * z) / 10
        return SimpleNamespace(logits=logits, routing=())


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, (1, 14, 18, 23)).astype(np.float32)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("overlap", [0.25, 0.5])
def test_windows_of_a_pointwise_network_give_the_whole(images, overlap, flip):
    network = _Pointwise(ramp=False)
    options = PatchOptions((8, 12, 16), overlap, flip)
    found = region_probabilities(network, images, ["T1"], CPU, options)
    np.testing.assert_allclose(found, expit(images), atol=1e-5)
    assert set(network.sizes) == {(8, 12, 16)} and len(network.sizes) > 8


def test_flip_averages_logits_with_those_of_the_left_right_flipped_brain(images):
    found = region_probabilities(_Pointwise(ramp=True), images, ["T1"], CPU, PatchOptions(flip=True))
    x, y, z = (np.arange(float(n)) for n in (16, 20, 24))  # padded to multiples of the stride
    both = (x + x[::-1])[:, None, None] / 2 + 0.1 * y[:, None] + 0.01 * z
    expected = expit(images[0] * both[:14, :18, :23] / 10)
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_without_flip_there_is_one_pass(images):
    network = _Pointwise(ramp=True)
    found = region_probabilities(network, images, ["T1"], CPU, PatchOptions(flip=False))
    assert network.sizes == [(16, 20, 24)] and found.shape == (1, 14, 18, 23)
    x, y, z = (np.arange(float(n)) for n in (14, 18, 23))
    expected = expit(images[0] * (x[:, None, None] + 0.1 * y[:, None] + 0.01 * z) / 10)
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
