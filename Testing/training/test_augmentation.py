"""Augmented boxes: images and labels move together, dropped modalities are gone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from magpie_core.training.augmentation import Augmentation, draw_patch
from magpie_core.training.faint_lesion import fade_lesion
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
    options = Augmentation(gain=0, shift=0, drop=0, affine=affine, elastic=elastic, tumor_share=1)
    for _ in range(5):
        box = draw_patch(sample, (24, 24, 24), options, random)
        bright = box.images[0] > 2.5
        agreement = (bright == (box.labels == 3)).float().mean()
        assert box.labels.any() and agreement > 0.97 and box.present.all() and (box.weights == 1).all()


def test_a_dropped_modality_is_zero_and_one_always_stays(sample):
    random = np.random.default_rng(0)
    options = Augmentation(drop=1.0, drop_each=0.9)
    for _ in range(20):
        box = draw_patch(sample, (16, 16, 16), options, random)
        assert box.present.any()
        assert not box.images[~box.present].any()
        assert box.images[box.present].any()


def test_the_outside_stays_zero_under_all_effects(sample):
    random = np.random.default_rng(0)
    options = Augmentation(gamma=1, noise=1, bias_field=1, k_space_spike=1, affine=0, drop=0)
    images = draw_patch(sample, (60, 60, 60), options, random).images
    assert (images == 0).float().mean() > 0.5


def test_the_same_seed_gives_the_same_box(sample):
    options = Augmentation(affine=1, gamma=1, blur=1, elastic=1, bias_field=1, k_space_spike=1)
    first = draw_patch(sample, (16, 16, 16), options, np.random.default_rng(5))
    second = draw_patch(sample, (16, 16, 16), options, np.random.default_rng(5))
    assert all((a == b).all() for a, b in zip(vars(first).values(), vars(second).values(), strict=True))


@pytest.mark.parametrize(
    "effect", ["affine", "gamma", "blur", "elastic", "bias_field", "k_space_spike", "faint"]
)
def test_a_graphics_card_gives_the_same_box(graphics_card, effect):
    random = np.random.default_rng(0)
    labels = np.zeros((40, 40, 40), np.uint8)
    labels[10:30, 10:30, 10:30] = 2
    textured = Sample.pack(random.normal(1, 0.5, (4, 40, 40, 40)), labels, random.random((40, 40, 40)))
    options = Augmentation(drop=0, tumor_share=1, **{effect: 1})
    for seed in range(5):
        here = draw_patch(textured, (16, 16, 16), options, np.random.default_rng(seed))
        there = draw_patch(textured, (16, 16, 16), options, np.random.default_rng(seed), device=graphics_card)
        assert there.present.device.type == "cpu" and there.images.is_cuda
        assert (there.labels.cpu() == here.labels).float().mean() > 0.99
        for mine, others in ((there.images, here.images), (there.weights, here.weights)):
            assert (mine.cpu() - others).abs().flatten().quantile(0.99) < 1e-2


def test_a_whole_brain_box_holds_all_of_the_tumor(sample):
    random = np.random.default_rng(0)
    labels = draw_patch(sample, (48, 48, 48), QUIET, random).labels
    assert int((labels == 3).sum()) == int((sample.labels == 3).sum())


def test_a_faint_tumor_keeps_its_extent_and_its_texture(sample):
    """Half of its contrast gone, against the brain that it lies in; no seam, and the rest is untouched."""
    box = sample.box((0, 0, 0), sample.shape)
    texture = 0.2 * torch.randn(box.images.shape, generator=torch.Generator().manual_seed(0))
    images = torch.where(box.images != 0, box.images + texture, torch.zeros(()))
    images[3] = 0.0  # a modality that the case lacks
    lesion = box.labels.numpy() > 0
    inner = torch.from_numpy(ndimage.binary_erosion(lesion, iterations=3))
    far = torch.from_numpy(~ndimage.binary_dilation(lesion, np.ones((3, 3, 3))))
    faded = fade_lesion(images, box.labels, 0.5)
    assert torch.equal(faded[:, far], images[:, far]) and not faded[3].any()
    for before, after in zip(images[:3], faded[:3], strict=True):
        assert float(after[inner].mean()) == pytest.approx(float(before[inner].mean() + 1.0) / 2, abs=0.1)
        assert after[inner].std() > 0.8 * before[inner].std()
    assert torch.equal(fade_lesion(images, torch.zeros_like(box.labels), 0.5), images)


def test_no_outline_is_drawn_around_a_faint_tumor(sample):
    """On flat tissue every voxel of the tumor loses the same, and none outside of it anything."""
    box = sample.box((0, 0, 0), sample.shape)
    faded = fade_lesion(box.images, box.labels, 0.75)
    lesion = box.labels > 0
    assert float((faded[:, lesion] - 1.75).abs().max()) < 0.05
    assert float((faded[:, ~lesion] - box.images[:, ~lesion]).abs().max()) < 0.05


def test_boxes_of_faint_tumors_are_drawn_now_and_then(sample):
    faint = replace(QUIET, faint=0.5, tumor_share=1.0)
    brightest = [
        float(draw_patch(sample, (24, 24, 24), faint, np.random.default_rng(seed)).images.max())
        for seed in range(20)
    ]
    assert any(level < 3.5 for level in brightest) and any(level > 3.9 for level in brightest)


def test_a_lesion_that_fills_the_box_is_left_as_it_is():
    images = torch.ones(2, 8, 8, 8)
    assert torch.equal(fade_lesion(images, torch.ones(8, 8, 8, dtype=torch.uint8), 0.7), images)
