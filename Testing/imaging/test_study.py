"""A study orders its modalities and knows its reference."""

from __future__ import annotations

import pytest

from magpie_core.errors import InputError
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.study import Study

T1, T1CE, T2, FLAIR = Modality.T1, Modality.T1CE, Modality.T2, Modality.FLAIR


def test_modalities_come_in_canonical_order(make_volume) -> None:
    study = Study({FLAIR: make_volume(), T1: make_volume(), T1CE: make_volume()}, "a")
    assert study.modalities == (T1, T1CE, FLAIR)


def test_the_reference_is_t1ce_else_t1_else_the_finest(make_volume) -> None:
    coarse, fine = make_volume(spacing_mm=2), make_volume(spacing_mm=1)
    assert Study({T1: fine, T1CE: coarse}, "a").reference is T1CE
    assert Study({FLAIR: fine, T1: coarse}, "a").reference is T1
    assert Study({FLAIR: fine, T2: coarse}, "a").reference is FLAIR
    assert Study({FLAIR: fine, T2: fine}, "a").reference is T2


def test_an_empty_study_is_refused() -> None:
    with pytest.raises(InputError):
        Study({}, "a")


def test_its_volumes_cannot_be_exchanged(make_volume) -> None:
    study = Study({T1: make_volume()}, "a")
    with pytest.raises(TypeError):
        study.volumes[T1] = make_volume()  # type: ignore[index]
