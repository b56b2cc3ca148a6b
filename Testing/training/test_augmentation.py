"""Augmented boxes: images and labels move together, dropped sequences are gone."""

import numpy as np
import pytest

from magpie_core.training.augmentation import Augmentation, draw_box
from magpie_core.training.sample import Sample

QUIET = Augmentation(gain=0, shift=0, drop=0, affine=0)


@pytest.fixture
def sample():
    images = np.zeros((4, 40, 48, 40), np.float32)
    images[:, 4:36, 4:44, 4:36] = 1.0
    labels = np.zeros((40, 48, 40), np.uint8)
    labels[12:24, 20:32, 14:28] = 3
    images[:, labels > 0] = 4.0
    return Sample.pack(images, labels)


@pytest.mark.parametrize(("affine", "elastic"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
def test_labels_move_with_the_images(sample, affine, elastic):
    random = np.random.default_rng(0)
    options = Augmentation(gain=0, shift=0, drop=0, affine=affine, elastic=elastic, tumour_share=1)
    for _ in range(5):
        box = draw_box(sample, (24, 24, 24), options, random)
        bright = box.images[0] > 2.5
        agreement = (bright == (box.labels == 3)).float().mean()
        assert box.labels.any() and agreement > 0.97 and box.present.all() and (box.weights == 1).all()


def test_a_dropped_sequence_is_zero_and_one_always_stays(sample):
    random = np.random.default_rng(0)
    options = Augmentation(drop=1.0, drop_each=0.9)
    for _ in range(20):
        box = draw_box(sample, (16, 16, 16), options, random)
        assert box.present.any()
        assert not box.images[~box.present].any()
        assert box.images[box.present].any()


def test_the_outside_stays_zero_under_all_effects(sample):
    random = np.random.default_rng(0)
    options = Augmentation(gamma=1, noise=1, bias_field=1, k_space_spike=1, affine=0, drop=0)
    images = draw_box(sample, (60, 60, 60), options, random).images
    assert (images == 0).float().mean() > 0.5


def test_the_same_seed_gives_the_same_box(sample):
    options = Augmentation(affine=1, gamma=1, blur=1, elastic=1, bias_field=1, k_space_spike=1)
    first = draw_box(sample, (16, 16, 16), options, np.random.default_rng(5))
    second = draw_box(sample, (16, 16, 16), options, np.random.default_rng(5))
    assert all((a == b).all() for a, b in zip(vars(first).values(), vars(second).values(), strict=True))


def test_a_whole_brain_box_holds_all_of_the_tumour(sample):
    random = np.random.default_rng(0)
    labels = draw_box(sample, (48, 48, 48), QUIET, random).labels
    assert int((labels == 3).sum()) == int((sample.labels == 3).sum())
