"""The channel-agnostic stem: names, not positions."""

import pytest
import torch

from magpie_core.networks.stem import ChannelAgnosticStem

NAMES = ("T1", "T1CE", "T2", "FLAIR")


@pytest.fixture
def stem():
    torch.manual_seed(0)
    stem = ChannelAgnosticStem(NAMES, 6)
    with torch.no_grad():
        for index, name in enumerate(NAMES):
            stem.importance[name].fill_(0.3 * index)
            stem.biases[name].normal_()
    return stem


def test_the_order_of_modalities_does_not_matter(stem):
    images = torch.randn(2, 4, 8, 10, 6)
    turned = [2, 0, 3, 1]
    expected = stem(images, NAMES)
    torch.testing.assert_close(stem(images[:, turned], [NAMES[i] for i in turned]), expected)


def test_an_absent_modality_has_no_influence(stem):
    images = torch.randn(1, 4, 8, 8, 8)
    present = torch.tensor([[True, False, True, True]])
    other = images.clone()
    other[:, 1] = 77.0
    torch.testing.assert_close(stem(images, NAMES, present), stem(other, NAMES, present))


def test_leaving_a_modality_out_equals_marking_it_absent(stem):
    images = torch.randn(1, 4, 8, 8, 8)
    marked = stem(images, NAMES, torch.tensor([[True, False, True, True]]))
    left_out = stem(images[:, [0, 2, 3]], ["T1", "T2", "FLAIR"])
    torch.testing.assert_close(left_out, marked)


def test_the_sum_equals_the_formula(stem):
    images = torch.randn(1, 4, 7, 7, 7)
    importance = torch.stack([stem.importance[name] for name in NAMES]).softmax(0)
    expected = sum(
        alpha
        * torch.nn.functional.conv3d(images[:, i : i + 1], stem.kernels[name], stem.biases[name], padding=1)
        for i, (name, alpha) in enumerate(zip(NAMES, importance, strict=True))
    )
    torch.testing.assert_close(stem(images, NAMES), expected, atol=1e-5, rtol=1e-5)


def test_samples_of_one_batch_may_have_different_modalities(stem):
    images = torch.randn(2, 4, 8, 8, 8)
    present = torch.tensor([[True, True, False, False], [False, True, True, True]])
    together = stem(images, NAMES, present)
    apart = torch.cat([stem(images[i : i + 1], NAMES, present[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(together, apart)
