"""Fingerprint and perceptual hash: exact and altered copies are recognized, other images are not."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from magpie_core.imaging.background import fingerprint, perceptual_hash, similarities
from magpie_core.imaging.volume import Volume
from magpie_core.io.nifti import read_volume, write_volume


def alike(a: Volume, b: Volume) -> float:
    return float(np.corrcoef(perceptual_hash(a).ravel(), perceptual_hash(b).ravel())[0, 1])


@pytest.fixture
def image(make_volume) -> Volume:
    return make_volume((40, 44, 36))


def test_a_copy_has_the_same_fingerprint(image, tmp_path):
    data, affine = image.data, image.affine
    flipped = affine @ np.diag([-1.0, 1, 1, 1])
    flipped[:3, 3] += affine[:3, 0] * (data.shape[0] - 1)
    shifted = affine.copy()
    shifted[:3, 3] += 25
    copies = {
        "axis order": Volume(data.transpose(2, 0, 1), affine[:, [2, 0, 1, 3]]),
        "flipped": Volume(data[::-1], flipped),
        "brightness": Volume(data * np.float32(0.37), affine),
        "place": Volume(data, shifted),
        "margin": Volume(np.pad(data, ((3, 1), (0, 7), (2, 2))), affine),
    }
    for name, copy in copies.items():
        assert fingerprint(copy) == fingerprint(image), name
        assert alike(copy, image) > 0.999, name


def test_fingerprint_ignores_number_type_and_compression(make_volume, tmp_path):
    image = make_volume()
    whole = Volume(np.rint(image.data).astype(np.float32), image.affine)
    write_volume(whole, tmp_path / "a.nii.gz")
    nibabel.save(nibabel.Nifti1Image(whole.data.astype(np.int16), whole.affine), tmp_path / "b.nii")
    assert fingerprint(read_volume(tmp_path / "a.nii.gz")) == fingerprint(read_volume(tmp_path / "b.nii"))


def test_other_images_have_other_fingerprints(image, make_volume):
    noisy = image.data.copy()
    noisy[18:24, 18:24, 18:24] += 3
    others = [make_volume((40, 44, 36), seed=1), Volume(noisy, image.affine)]
    assert len({fingerprint(image), *map(fingerprint, others)}) == 3


def test_perceptual_hashes_of_altered_copies_correlate(make_volume):
    shape = (96, 104, 88)
    image = make_volume(shape)
    coarse = image.affine.copy()
    coarse[:3, :3] *= 2
    altered = {
        "half the resolution": Volume(image.data.reshape(48, 2, 52, 2, 44, 2).mean(axis=(1, 3, 5)), coarse),
        "smoothed": Volume(ndimage.gaussian_filter(image.data, 0.7), image.affine),
        "cut": Volume(image.data[12:], image.affine),
    }
    for name, copy in altered.items():
        assert fingerprint(copy) != fingerprint(image), name
        assert alike(copy, image) > 0.98, name
    assert alike(make_volume(shape, seed=5), image) < 0.98


def test_similarities_are_the_correlations_of_all_pairs(make_volume):
    rows = np.stack([perceptual_hash(make_volume(seed=seed)).ravel() for seed in range(5)])
    expected = np.corrcoef(rows)[:2, 2:]
    np.testing.assert_allclose(similarities(rows[:2], rows[2:]), expected, atol=1e-5)
    assert not similarities(rows, np.zeros_like(rows)).any()


def test_an_empty_image_has_a_fingerprint():
    empty = Volume(np.zeros((5, 6, 7), np.float32), np.eye(4))
    assert len(fingerprint(empty)) == 64 and not perceptual_hash(empty).any()
