"""Augmented patches: images and labels move together, dropped modalities are zero."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from magpie_core.training.augmentation import Augmentation, draw_patch, fade_lesion
from magpie_core.training.sample import Sample

NO_AUGMENTATION = Augmentation(gain=0, shift=0, drop=0, affine=0)


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
    rng = np.random.default_rng(0)
    options = Augmentation(gain=0, shift=0, drop=0, affine=affine, elastic=elastic, tumor_fraction=1)
    for _ in range(5):
        patch = draw_patch(sample, (24, 24, 24), options, rng)
        bright = patch.images[0] > 2.5
        agreement = (bright == (patch.labels == 3)).float().mean()
        assert patch.labels.any() and agreement > 0.97 and patch.present.all() and (patch.weights == 1).all()


def test_dropped_modality_is_zero_and_one_always_remains(sample):
    rng = np.random.default_rng(0)
    options = Augmentation(drop=1.0, drop_each=0.9)
    for _ in range(20):
        patch = draw_patch(sample, (16, 16, 16), options, rng)
        assert patch.present.any()
        assert not patch.images[~patch.present].any()
        assert patch.images[patch.present].any()


def test_single_keeps_one_modality_that_the_study_has(sample):
    packed = sample.packed.copy()
    packed[2] = Sample.pack(np.zeros((4, 40, 48, 40)), np.zeros((40, 48, 40))).packed[2]  # no T2
    options, kept = Augmentation(single=True), set()
    for seed in range(40):
        patch = draw_patch(Sample(packed), (16, 16, 16), options, np.random.default_rng(seed), known=(0, 2, 3))
        (index,) = patch.present.nonzero().flatten().tolist()
        assert [i for i in range(4) if patch.images[i].any()] == [index]
        kept.add(index)
    assert kept == {0, 3}


def test_background_stays_zero_under_all_transforms(sample):
    rng = np.random.default_rng(0)
    options = Augmentation(gamma=1, noise=1, bias_field=1, k_space_spike=1, affine=0, drop=0)
    images = draw_patch(sample, (60, 60, 60), options, rng).images
    assert (images == 0).float().mean() > 0.5


def test_same_seed_gives_the_same_patch(sample):
    options = Augmentation(affine=1, gamma=1, thick_slices=1, elastic=1, bias_field=1, k_space_spike=1)
    first = draw_patch(sample, (16, 16, 16), options, np.random.default_rng(5))
    second = draw_patch(sample, (16, 16, 16), options, np.random.default_rng(5))
    assert all((a == b).all() for a, b in zip(vars(first).values(), vars(second).values(), strict=True))


@pytest.mark.parametrize(
    "transform", ["affine", "gamma", "thick_slices", "elastic", "bias_field", "k_space_spike", "faint"]
)
def test_patch_on_a_gpu_equals_that_on_the_cpu(cuda_device, transform):
    rng = np.random.default_rng(0)
    labels = np.zeros((40, 40, 40), np.uint8)
    labels[10:30, 10:30, 10:30] = 2
    textured = Sample.pack(rng.normal(1, 0.5, (4, 40, 40, 40)), labels, rng.random((40, 40, 40)))
    options = Augmentation(drop=0, tumor_fraction=1, **{transform: 1})
    for seed in range(5):
        here = draw_patch(textured, (16, 16, 16), options, np.random.default_rng(seed))
        there = draw_patch(textured, (16, 16, 16), options, np.random.default_rng(seed), device=cuda_device)
        assert there.present.device.type == "cpu" and there.images.is_cuda
        assert (there.labels.cpu() == here.labels).float().mean() > 0.99
        for mine, others in ((there.images, here.images), (there.weights, here.weights)):
            assert (mine.cpu() - others).abs().flatten().quantile(0.99) < 1e-2


def test_whole_brain_patch_holds_the_whole_tumor(sample):
    rng = np.random.default_rng(0)
    labels = draw_patch(sample, (48, 48, 48), NO_AUGMENTATION, rng).labels
    assert int((labels == 3).sum()) == int((sample.labels == 3).sum())


def test_faded_tumor_keeps_its_extent_and_texture(sample):
    """Half of its contrast to the brain is gone; no seam, and the rest is unchanged."""
    patch = sample.patch((0, 0, 0), sample.shape)
    texture = 0.2 * torch.randn(patch.images.shape, generator=torch.Generator().manual_seed(0))
    images = torch.where(patch.images != 0, patch.images + texture, torch.zeros(()))
    images[3] = 0.0  # a missing modality
    lesion = patch.labels.numpy() > 0
    inner = torch.from_numpy(ndimage.binary_erosion(lesion, iterations=3))
    far = torch.from_numpy(~ndimage.binary_dilation(lesion, np.ones((3, 3, 3))))
    faded = fade_lesion(images, patch.labels, 0.5)
    assert torch.equal(faded[:, far], images[:, far]) and not faded[3].any()
    for before, after in zip(images[:3], faded[:3], strict=True):
        assert float(after[inner].mean()) == pytest.approx(float(before[inner].mean() + 1.0) / 2, abs=0.1)
        assert after[inner].std() > 0.8 * before[inner].std()
    assert torch.equal(fade_lesion(images, torch.zeros_like(patch.labels), 0.5), images)


def test_fading_draws_no_outline(sample):
    """On flat tissue every voxel of the tumor loses the same contrast, and no voxel outside loses any."""
    patch = sample.patch((0, 0, 0), sample.shape)
    faded = fade_lesion(patch.images, patch.labels, 0.75)
    lesion = patch.labels > 0
    assert float((faded[:, lesion] - 1.75).abs().max()) < 0.05
    assert float((faded[:, ~lesion] - patch.images[:, ~lesion]).abs().max()) < 0.05


def test_faint_tumors_are_drawn_with_the_configured_probability(sample):
    faint = replace(NO_AUGMENTATION, faint=0.5, tumor_fraction=1.0)
    brightest = [
        float(draw_patch(sample, (24, 24, 24), faint, np.random.default_rng(seed)).images.max()) for seed in range(20)
    ]
    assert any(level < 3.5 for level in brightest) and any(level > 3.9 for level in brightest)


def test_lesion_that_fills_the_patch_is_not_faded():
    images = torch.ones(2, 8, 8, 8)
    assert torch.equal(fade_lesion(images, torch.ones(8, 8, 8, dtype=torch.uint8), 0.7), images)
