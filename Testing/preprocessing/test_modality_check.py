"""Modalities that are declared wrongly are noticed; those declared rightly are left in peace."""

from dataclasses import replace

import numpy as np
import pytest

from magpie_core.imaging.geometry import Geometry
from magpie_core.imaging.modality import GLIOMA_MODALITIES, Modality
from magpie_core.io.discovery import read_study
from magpie_core.preprocessing.modality_swap import check_modality_swap, default_weights, pair_features
from magpie_core.preprocessing.model_grid import ModelGridStudy, resample_to_model_grid


@pytest.fixture
def studies(cases_folder):
    """Two real cases, all four modalities."""
    found = []
    for name in ("Brats18_CBICA_ABM_1", "BraTS2021_01476"):
        grid = resample_to_model_grid(read_study(cases_folder / "train" / name))
        order = [grid.modalities.index(modality) for modality in GLIOMA_MODALITIES]
        found.append(replace(grid, images=grid.images[order], modalities=GLIOMA_MODALITIES))
    return found


def _exchanged(study, one, other):
    order = list(range(4))
    order[one], order[other] = other, one
    return replace(study, images=study.images[order])


def test_every_exchange_of_two_is_noticed_and_named(studies):
    for study in studies:
        assert check_modality_swap(study) is None
        for one in range(4):
            for other in range(one + 1, 4):
                doubt = check_modality_swap(_exchanged(study, one, other))
                assert dict(doubt.likely) == {
                    GLIOMA_MODALITIES[one]: GLIOMA_MODALITIES[other],
                    GLIOMA_MODALITIES[other]: GLIOMA_MODALITIES[one],
                }
                assert f"{GLIOMA_MODALITIES[one].label} and {GLIOMA_MODALITIES[other].label}" in doubt.sentence
                assert "nothing was changed" in doubt.sentence


def test_a_round_of_three_and_a_study_of_two_are_judged_too(studies):
    study = studies[0]
    doubt = check_modality_swap(replace(study, images=study.images[[2, 1, 3, 0]]))
    assert len(doubt.likely) == 3 and "looks like" in doubt.sentence
    two = replace(study, images=study.images[[3, 2]], modalities=(Modality.T2, Modality.FLAIR))
    assert check_modality_swap(two) is not None
    assert check_modality_swap(replace(two, images=two.images[::-1])) is None


def _phantom(modalities, size=50):
    random = np.random.default_rng(0)
    images = random.standard_normal((len(modalities), size, size, size)).astype(np.float32)
    brain = np.ones((size,) * 3, bool)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    return ModelGridStudy(images, tuple(modalities), brain, affine, Geometry((size,) * 3, affine))


def test_one_modality_a_small_image_and_other_modalities_are_not_judged():
    assert check_modality_swap(_phantom([Modality.T1])) is None
    assert check_modality_swap(_phantom([Modality.T1, Modality.T2], size=10)) is None
    assert check_modality_swap(_phantom([Modality.DWI, Modality.ADC])) is None


def test_the_rules_are_complete_and_exchanging_images_turns_their_sign():
    assert len(default_weights()) == 6
    study = _phantom(GLIOMA_MODALITIES)
    features = pair_features(study)
    assert all(len(default_weights()[pair]) == len(values) for pair, values in features.items())
    back = pair_features(replace(study, images=study.images[[1, 0, 2, 3]]))
    pair = (Modality.T1, Modality.T1CE)
    np.testing.assert_allclose(back[pair], -features[pair], atol=1e-4)
