"""ChannelAgnosticStem: modalities by name, not by position."""

import pytest
import torch

from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES
from magpie_core.networks.stem import ChannelAgnosticStem


@pytest.fixture
def stem():
    torch.manual_seed(0)
    stem = ChannelAgnosticStem(GLIOMA_MODALITY_NAMES, 6)
    with torch.no_grad():
        for index, name in enumerate(GLIOMA_MODALITY_NAMES):
            stem.importance[name].fill_(0.3 * index)
            stem.biases[name].normal_()
    return stem


def test_stem_does_not_depend_on_the_order_of_modalities(stem):
    images = torch.randn(2, 4, 8, 10, 6)
    order = [2, 0, 3, 1]
    expected = stem(images, GLIOMA_MODALITY_NAMES)
    torch.testing.assert_close(stem(images[:, order], [GLIOMA_MODALITY_NAMES[i] for i in order]), expected)


def test_stem_ignores_an_absent_modality(stem):
    images = torch.randn(1, 4, 8, 8, 8)
    present = torch.tensor([[True, False, True, True]])
    other = images.clone()
    other[:, 1] = 77.0
    torch.testing.assert_close(
        stem(images, GLIOMA_MODALITY_NAMES, present), stem(other, GLIOMA_MODALITY_NAMES, present)
    )


def test_stem_gives_the_same_for_an_omitted_as_for_an_absent_modality(stem):
    images = torch.randn(1, 4, 8, 8, 8)
    marked = stem(images, GLIOMA_MODALITY_NAMES, torch.tensor([[True, False, True, True]]))
    omitted = stem(images[:, [0, 2, 3]], ["T1", "T2", "FLAIR"])
    torch.testing.assert_close(omitted, marked)


def test_stem_equals_its_formula(stem):
    images = torch.randn(1, 4, 7, 7, 7)
    importance = torch.stack([stem.importance[name] for name in GLIOMA_MODALITY_NAMES]).softmax(0)
    expected = sum(
        alpha * torch.nn.functional.conv3d(images[:, i : i + 1], stem.kernels[name], stem.biases[name], padding=1)
        for i, (name, alpha) in enumerate(zip(GLIOMA_MODALITY_NAMES, importance, strict=True))
    )
    torch.testing.assert_close(stem(images, GLIOMA_MODALITY_NAMES), expected, atol=1e-5, rtol=1e-5)


def test_stem_takes_batches_with_different_modalities(stem):
    images = torch.randn(2, 4, 8, 8, 8)
    present = torch.tensor([[True, True, False, False], [False, True, True, True]])
    together = stem(images, GLIOMA_MODALITY_NAMES, present)
    apart = torch.cat([stem(images[i : i + 1], GLIOMA_MODALITY_NAMES, present[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(together, apart)
