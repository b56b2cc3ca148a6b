"""Checks of a study: what is refused, and what is warned of."""

from __future__ import annotations

import numpy as np
import pytest

from magpie_core.errors import InputError
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.study import Study
from magpie_core.imaging.study_checks import check_study, on_one_grid, with_skull
from magpie_core.imaging.volume import Volume

T1, T1CE, T2, FLAIR = Modality.T1, Modality.T1CE, Modality.T2, Modality.FLAIR


def refused(study: Study) -> InputError:
    """Return the error of checking; it always has a remedy."""
    with pytest.raises(InputError) as caught:
        check_study(study)
    assert caught.value.remedy
    return caught.value


def test_a_sound_study_has_no_warning(make_study) -> None:
    assert check_study(make_study()) == ()


def test_check_warns_of_a_missing_modality(make_study) -> None:
    (warning,) = check_study(make_study(T1, T2, FLAIR))
    assert "no T1ce" in warning
    assert "ET" in warning
    (warning,) = check_study(make_study(T1, T1CE, T2))
    assert "no FLAIR:" in warning
    assert any("no FLAIR and no T2" in warning for warning in check_study(make_study(T1CE)))


@pytest.mark.parametrize(("value", "word"), [(0, "empty"), (7, "constant")])
def test_check_names_an_image_without_content(value: int, word: str, make_study) -> None:
    study = make_study()
    flat = Volume(np.full((28, 32, 24), value, np.float32), study.volumes[T1].affine, "t2.nii.gz")
    error = refused(Study({**study.volumes, T2: flat}, "a"))
    assert error.what == f"The T2 is {word}"
    assert error.source == "t2.nii.gz"


def test_check_refuses_values_that_are_not_finite(make_study) -> None:
    study = make_study()
    study.volumes[T2].data[3, 3, 3] = np.nan
    assert "T2" in refused(study).what


def test_check_refuses_a_single_slice_and_impossible_voxel_sizes(make_volume) -> None:
    slice_ = Volume(make_volume().data[:, :, 12:13], np.eye(4))
    assert "single slice" in refused(Study({FLAIR: slice_}, "a")).what
    assert "1e+03" in refused(Study({FLAIR: make_volume(spacing_mm=1000)}, "a")).cause
    assert "impossible" in refused(Study({FLAIR: make_volume(spacing_mm=0.001)}, "a")).what


def test_check_warns_of_a_segmentation_in_place_of_an_image(make_volume) -> None:
    volume = make_volume()
    mask = Volume((volume.data > 400).astype(np.uint8), volume.affine)
    assert any("is it a segmentation" in warning for warning in check_study(Study({T1CE: volume, FLAIR: mask}, "a")))


@pytest.mark.parametrize("kind", ["same", "rescaled", "flipped"])
def test_check_refuses_one_image_given_twice(kind: str, make_volume) -> None:
    one = make_volume()
    other = {
        "same": one,
        "rescaled": Volume(one.data * 3 + 5, one.affine),
        "flipped": Volume(one.data[::-1], one.affine @ np.diag([-1, 1, 1, 1]) + _moved(27, one.affine)),
    }[kind]
    error = refused(Study({T1: one, T2: other}, "a"))
    assert error.what == "The T1 and the T2 are the same image"


def _moved(voxels: int, affine: np.ndarray) -> np.ndarray:
    shift = np.zeros((4, 4))
    shift[:3, 3] = voxels * affine[:3, 0]
    return shift


def test_check_refuses_images_that_lie_apart(make_volume) -> None:
    far = make_volume().affine.copy()
    far[2, 3] += 30
    error = refused(Study({T1CE: make_volume(), FLAIR: make_volume(seed=1, affine=far)}, "a"))
    assert error.what == "The FLAIR and the T1ce do not show the same part of the body"
    assert "0 %" in error.cause


def test_check_warns_of_partial_coverage(make_volume) -> None:
    half = make_volume(seed=1)
    slab = Volume(half.data[:, :, 12:], half.affine @ _shift(0, 0, 12))
    warnings = check_study(Study({T1CE: make_volume(), FLAIR: slab}, "a"))
    assert any("FLAIR covers only" in warning for warning in warnings)
    assert not on_one_grid(Study({T1CE: make_volume(), FLAIR: slab}, "a"))


def _shift(*voxels: int) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = voxels
    return matrix


def test_another_storage_order_is_not_another_grid(make_volume) -> None:
    one, other = make_volume(), make_volume(seed=1)
    turned = Volume(other.data.transpose(2, 0, 1), other.affine[:, [2, 0, 1, 3]])
    study = Study({T1CE: one, FLAIR: turned}, "a")
    assert check_study(study) == () and on_one_grid(study)


def test_with_skull_judges_by_volume_and_background(make_volume) -> None:
    big = Study({T1CE: make_volume(spacing_mm=8), FLAIR: make_volume(seed=1, spacing_mm=8)}, "a")
    assert with_skull(big) == (T1CE, FLAIR)
    noisy = make_volume()
    noise = np.random.default_rng(0).uniform(1, 9, noisy.shape).astype(np.float32)
    raw = Study({T1CE: Volume(noisy.data + noise, noisy.affine), FLAIR: make_volume(seed=1)}, "a")
    assert with_skull(raw) == (T1CE,)
