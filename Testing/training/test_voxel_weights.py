"""Slices that noise or motion has spoiled weigh less; good ones do not."""

import numpy as np
import pytest

from magpie_core.training.voxel_weights import LEAST_WEIGHT, voxel_weights


@pytest.fixture
def images():
    """Two smooth, slightly noisy modalities in a ball."""
    random = np.random.default_rng(0)
    axes = np.meshgrid(*[np.linspace(-1, 1, 48)] * 3, indexing="ij")
    inside = sum(axis**2 for axis in axes) < 0.8
    smooth = np.stack([np.sin(3 * axes[0]) + axes[1], np.cos(4 * axes[2]) * axes[0]])
    return ((smooth + 0.1 * random.standard_normal((2, 48, 48, 48))) * inside).astype(np.float32)


def test_good_slices_keep_their_weight(images):
    weights = voxel_weights(images)
    assert weights.shape == images.shape[1:]
    assert (weights == 1).mean() > 0.97


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_spoiled_slice_loses_weight_in_whatever_direction_it_lies(images, axis):
    random = np.random.default_rng(1)
    spoiled = np.moveaxis(images, axis + 1, 1)
    spoiled[:, 20] += (spoiled[:, 20] != 0) * random.standard_normal(spoiled[:, 20].shape)
    weights = np.moveaxis(voxel_weights(images), axis, 0)
    assert weights[20].max() == pytest.approx(LEAST_WEIGHT, abs=0.05)
    assert weights[30].mean() > 0.95


def test_one_spoiled_modality_of_two_takes_half_of_the_weight(images):
    random = np.random.default_rng(1)
    images[0, 20] += (images[0, 20] != 0) * random.standard_normal(images[0, 20].shape)
    assert voxel_weights(images)[20, 24, 24] == pytest.approx((1 + LEAST_WEIGHT) / 2, abs=0.05)


def test_small_and_empty_images_are_left_alone():
    assert (voxel_weights(np.zeros((2, 2, 4, 4), np.float32)) == 1).all()
