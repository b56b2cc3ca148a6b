"""Scaling of intensities."""

import numpy as np
import pytest

from magpie_core.preprocessing.intensities import scale_intensities


@pytest.fixture
def brain():
    mask = np.zeros((20, 20, 20), bool)
    mask[3:17, 3:17, 3:17] = True
    return mask


@pytest.fixture
def image(brain):
    return np.random.default_rng(0).normal(300, 40, brain.shape) * brain


def test_gain_and_offset_of_the_scanner_do_not_matter(image, brain):
    first = scale_intensities(image, brain)
    np.testing.assert_allclose(scale_intensities((7 * image + 90) * brain, brain), first, atol=1e-3)


def test_a_few_very_bright_voxels_do_not_decide_the_scale(image, brain):
    bright = image.copy()
    bright[5, 5, 5] = 1e6
    others = brain.copy()
    others[5, 5, 5] = False
    change = np.abs(scale_intensities(bright, brain) - scale_intensities(image, brain))[others]
    assert np.median(change) < 0.01


def test_values_stay_in_their_range_and_the_outside_is_zero(image, brain):
    scaled = scale_intensities(np.where(brain, image**4, 5.0), brain)
    assert scaled.dtype == np.float32
    assert scaled.min() >= -4 and scaled.max() <= 6
    assert not scaled[~brain].any()


def test_a_constant_image_and_an_empty_brain_give_zeros(brain):
    assert not scale_intensities(np.full(brain.shape, 7.0), brain).any()
    assert not scale_intensities(np.ones(brain.shape), np.zeros(brain.shape, bool)).any()
