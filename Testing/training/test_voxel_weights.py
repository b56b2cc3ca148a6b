"""Voxel weights are lower in slices corrupted by noise or motion, and 1 in others."""

import numpy as np
import pytest

from magpie_core.training.voxel_weights import LEAST_WEIGHT, voxel_weights


@pytest.fixture
def images():
    """Two smooth, slightly noisy modalities in a ball."""
    rng = np.random.default_rng(0)
    axes = np.meshgrid(*[np.linspace(-1, 1, 48)] * 3, indexing="ij")
    inside = sum(axis**2 for axis in axes) < 0.8
    smooth = np.stack([np.sin(3 * axes[0]) + axes[1], np.cos(4 * axes[2]) * axes[0]])
    return ((smooth + 0.1 * rng.standard_normal((2, 48, 48, 48))) * inside).astype(np.float32)


def test_weights_are_1_in_good_slices(images):
    weights = voxel_weights(images)
    assert weights.shape == images.shape[1:]
    assert (weights == 1).mean() > 0.97


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_weights_are_low_in_a_corrupted_slice_along_any_axis(images, axis):
    rng = np.random.default_rng(1)
    corrupted = np.moveaxis(images, axis + 1, 1)
    corrupted[:, 20] += (corrupted[:, 20] != 0) * rng.standard_normal(corrupted[:, 20].shape)
    weights = np.moveaxis(voxel_weights(images), axis, 0)
    assert weights[20].max() == pytest.approx(LEAST_WEIGHT, abs=0.05)
    assert weights[30].mean() > 0.95


def test_weights_are_averaged_over_modalities(images):
    rng = np.random.default_rng(1)
    images[0, 20] += (images[0, 20] != 0) * rng.standard_normal(images[0, 20].shape)
    assert voxel_weights(images)[20, 24, 24] == pytest.approx((1 + LEAST_WEIGHT) / 2, abs=0.05)


def test_weights_are_1_in_small_and_empty_images():
    assert (voxel_weights(np.zeros((2, 2, 4, 4), np.float32)) == 1).all()
