"""Packed samples: small, exact outside the brain, patches anywhere."""

import numpy as np
import pytest
import torch

from magpie_core.training.sample import Sample


def _sample(seed=0):
    rng = np.random.default_rng(seed)
    images = np.zeros((4, 20, 24, 16), np.float32)
    images[:, 4:16, 4:20, 4:12] = rng.standard_normal((4, 12, 16, 8)).clip(-4, 6)
    labels = np.zeros((20, 24, 16), np.uint8)
    labels[8:12, 8:12, 6:10] = 2
    return images, labels, Sample.pack(images, labels, name="one")


def test_packing_keeps_intensities_to_half_a_step_and_the_background_exactly():
    images, labels, sample = _sample()
    patch = sample.patch((0, 0, 0), sample.shape)
    back, marked = patch.images, patch.labels
    assert np.abs(back.numpy() - images).max() <= 0.5 / 25.5 + 1e-6
    assert (back.numpy()[images == 0] == 0).all()
    assert (marked.numpy() == labels).all()


def test_patch_beyond_the_sample_is_zero():
    _, labels, sample = _sample()
    patch = sample.patch((-6, 10, 5), (18, 20, 18))
    images, marked = patch.images, patch.labels
    assert images.shape == (4, 18, 20, 18)
    assert (images[:, :6] == 0).all() and (marked[:, 14:] == 0).all()
    assert (marked[6:, :14, :11].numpy() == labels[:12, 10:, 5:]).all()


def test_patch_outside_the_sample_is_empty():
    _, _, sample = _sample()
    patch = sample.patch((100, 100, 100), (8, 8, 8))
    assert not patch.images.any() and not patch.labels.any()


def test_voxel_indices_lie_in_the_tumor_or_in_the_brain():
    images, labels, sample = _sample()
    tumor = sample.voxel_indices(tumor=True, step=2)
    assert len(tumor) and all(labels[tuple(index)] for index in tumor)
    brain = sample.voxel_indices(tumor=False, step=2)
    assert len(brain) > len(tumor) and all(images[(slice(None), *index)].any() for index in brain)


def test_region_targets_are_nested():
    from magpie_core.training.losses import region_targets

    targets = region_targets(torch.tensor([[[0, 1, 2, 3]]]))
    assert targets[:, 0, 0].tolist() == [[0, 0, 0, 1], [0, 1, 0, 1], [0, 1, 1, 1]]


def test_downsampling_keeps_mean_intensities_and_regions_that_fill_half_of_a_voxel():
    images = np.zeros((4, 5, 4, 6), np.float32)
    images[:, :2, :2, :2] = np.array([2.0, 1.0, 0.5, -1.0])[:, None, None, None]
    labels = np.zeros((5, 4, 6), np.uint8)
    labels[0, :2, :2] = 3
    labels[1, :2, :2] = 2
    labels[2:4, :2, :2] = 1
    labels[2, 0, 0] = 3
    labels[0, 2, 2] = 3
    coarse = Sample.pack(images, labels, name="one").downsampled()
    assert coarse.shape == (2, 2, 3) and coarse.name == "one"
    patch = coarse.patch((0, 0, 0), coarse.shape)
    back, marked = patch.images, patch.labels
    assert back[:, 0, 0, 0].numpy() == pytest.approx([2.0, 1.0, 0.5, -1.0], abs=0.04)
    # Half enhancing, half edema; core with a trace of enhancement; a single voxel of eight.
    assert marked[0, 0, 0] == 3 and marked[1, 0, 0] == 1 and marked[0, 1, 1] == 0


def test_voxel_weights_are_packed_with_the_labels():
    images, labels, _ = _sample()
    weights = np.ones(labels.shape, np.float32)
    weights[:, 8:10] = 0.25
    sample = Sample.pack(images, labels, weights)
    patch = sample.patch((0, 6, 0), (20, 6, 16))
    assert (sample.labels == labels).all() and (patch.labels.numpy() == labels[:, 6:12]).all()
    assert patch.weights[:, 2:4].numpy() == pytest.approx(0.25, abs=0.01)
    assert (patch.weights[:, :2] == 1).all() and (patch.weights[:, 4:] == 1).all()
    coarse = sample.downsampled()
    assert coarse.patch((0, 0, 0), coarse.shape).weights[:, 4].numpy() == pytest.approx(0.25, abs=0.01)
