"""A slow change of brightness is taken out; the rest of the image stays."""

from __future__ import annotations

import numpy as np

from magpie_core.imaging.volume import Volume
from magpie_core.preprocessing.itk import correct_bias_field


def phantom(shape=(28, 30, 26)):
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    radius = np.sqrt((grid**2).sum(axis=0))
    return grid, np.where(radius < 0.5, 300.0, 200.0) * (radius < 0.9)


def variation(image, clean):
    part = image[clean == 300]
    return part.std() / part.mean()


def test_the_field_is_taken_out():
    grid, clean = phantom()
    biased = (clean * np.exp(0.4 * grid[0] + 0.2 * grid[2])).astype(np.float32)
    corrected = correct_bias_field(Volume(biased, np.diag([4.0, 4, 4, 1])), threads=1)
    assert variation(corrected.data, clean) < 0.5 * variation(biased, clean)
    assert (corrected.data[clean == 0] == 0).all() and corrected.data.dtype == np.float32


def test_thick_slices_and_empty_images_pass():
    grid, clean = phantom((28, 30, 9))
    volume = Volume(clean.astype(np.float32), np.diag([1.0, 1, 6, 1]))
    assert np.isfinite(correct_bias_field(volume, threads=1).data).all()
    empty = Volume(np.zeros((9, 9, 9), np.float32), np.eye(4))
    assert correct_bias_field(empty) is empty
