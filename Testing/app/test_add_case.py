"""A corrected study joins a cohort together with how its images were prepared; training prepares nothing again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from magpie_core.app.add_case import AddCaseRequest, add_case
from magpie_core.cohort.cohort import Cohort
from magpie_core.errors import InputError
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.io.discovery import read_study
from magpie_core.io.nifti import write_volume
from magpie_core.io.segmentation_file import read_segmentation, write_segmentation
from magpie_core.preprocessing import preparation_cache
from magpie_core.preprocessing.preparation_cache import PreparationCache
from magpie_core.preprocessing.prepared_study import PreparedStudy, preparation_digest
from magpie_core.preprocessing.registration import Registration
from magpie_core.training.labeled_cases import pack_case

T1CE, FLAIR = Modality.T1CE, Modality.FLAIR
SHIFT_MM = (6.0, -4.0, 2.0)


@pytest.fixture
def request_(tmp_path: Path, make_study) -> AddCaseRequest:
    """A study whose FLAIR lies elsewhere, with labels drawn on that FLAIR."""
    study = make_study(T1CE, FLAIR)
    moved = np.eye(4)
    moved[:3, 3] = np.negative(SHIFT_MM)
    flair = study.volumes[FLAIR]
    volumes = {T1CE: study.volumes[T1CE], FLAIR: Volume(flair.data, moved @ flair.affine)}
    images = {}
    for modality, volume in volumes.items():
        images[modality] = tmp_path / f"{modality.value}.nii.gz"
        write_volume(volume, images[modality])
    labels = np.zeros(flair.shape, np.uint8)
    labels[12:18, 20:26, 14:20] = 3
    drawn = Segmentation(labels, volumes[FLAIR].affine, label_schema("magpie"))
    write_segmentation(drawn, tmp_path / "labels.nii.gz")
    return AddCaseRequest(
        cohort=tmp_path / "cohort", images=images, labels=tmp_path / "labels.nii.gz", patient="7", annotator="ab"
    )


@pytest.fixture
def preparations(monkeypatch) -> list[str]:
    """Names of the studies that were prepared anew; the FLAIR is brought back to where it belongs."""
    prepared = []

    def prepare(study: Study, *, brain_extraction: str, **options) -> PreparedStudy:
        prepared.append(study.name)
        matrix = np.eye(4)
        matrix[:3, 3] = SHIFT_MM
        flair = study.volumes[FLAIR]
        volumes = {**study.volumes, FLAIR: Volume(flair.data, matrix @ flair.affine)}
        found = Registration(matrix, 0.5, 0.2, 0.3, 0.4)
        digest = preparation_digest(study, brain_extraction)
        return PreparedStudy(Study(volumes, study.name), None, {FLAIR: found}, brain_extraction, ("moved",), digest)

    monkeypatch.setattr(preparation_cache, "prepare_study", prepare)
    return prepared


def test_add_case_records_the_preparation_and_training_reuses_it(request_, preparations):
    result = add_case(request_)
    assert len(preparations) == 1 and "moved" in result.warnings
    cohort = Cohort(request_.cohort)
    (case,) = cohort.cases()
    assert case.name == result.case and case.annotator == "ab" and result.cases == 1
    assert case.preparation is not None and case.preparation.name in case.digests
    assert cohort.check() == []
    cache = PreparationCache(records=[case.preparation])
    found = cache.prepare(read_study(case.images, name=case.name))
    assert len(preparations) == 1
    np.testing.assert_array_equal(found.registrations[FLAIR].matrix[:3, 3], SHIFT_MM)


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("wrong", [{"patient": " "}, {"visit": "a b"}, {"labels": None}])
def test_a_case_that_is_refused_leaves_no_new_cohort(request_, preparations, tmp_path, wrong, existing):
    empty = tmp_path / "empty.nii.gz"
    drawn = read_segmentation(request_.labels)
    write_segmentation(replace(drawn, labels=drawn.labels * 0), empty)
    if existing:
        request_.cohort.mkdir()
    with pytest.raises(InputError):
        add_case(replace(request_, **{"labels": empty} if "labels" in wrong else wrong))
    assert not any(request_.cohort.iterdir()) if existing else not request_.cohort.exists()
    add_case(request_)
    assert len(Cohort(request_.cohort).cases()) == 1


def test_labels_of_a_moved_image_follow_it_into_the_training_sample(request_, preparations):
    add_case(request_)
    (case,) = Cohort(request_.cohort).cases()
    study, labels = read_study(case.images, name=case.name), read_segmentation(case.labels)
    cache = PreparationCache()
    sample = pack_case(study, labels, 1.0, name=case.name, preparations=cache)
    grid = cache.prepare(study).on_model_grid(1.0)
    packed_mm = grid.affine[:3, :3] @ np.argwhere(sample.labels).mean(axis=0) + grid.affine[:3, 3]
    drawn_mm = labels.affine[:3, :3] @ np.argwhere(labels.labels).mean(axis=0) + labels.affine[:3, 3]
    np.testing.assert_allclose(packed_mm - drawn_mm, SHIFT_MM, atol=0.5)


@pytest.fixture
def on_one_grid(request_, make_study):
    """The request with a FLAIR on the grid of the T1ce, though the head moved, and labels on that grid."""
    reference = read_study({T1CE: request_.images[T1CE]}).volumes[T1CE]
    flair = read_study({FLAIR: request_.images[FLAIR]}).volumes[FLAIR]
    write_volume(Volume(flair.data, reference.affine), request_.images[FLAIR])
    labels = np.zeros(reference.shape, np.uint8)
    labels[10:16, 14:20, 10:16] = 3
    write_segmentation(Segmentation(labels, reference.affine, label_schema("magpie")), request_.labels)
    return request_


def test_on_which_of_two_images_that_lie_apart_has_to_be_said(on_one_grid, preparations):
    with pytest.raises(InputError, match=r"moved between them by up to 7\.5 mm(.|\n)*--drawn-on FLAIR"):
        add_case(on_one_grid)
    assert not on_one_grid.cohort.exists()


@pytest.mark.parametrize(("modality", "shift"), [(T1CE, (0, 0, 0)), (FLAIR, SHIFT_MM)])
def test_labels_follow_the_image_that_is_named(on_one_grid, preparations, modality, shift):
    add_case(replace(on_one_grid, drawn_on=modality))
    (case,) = Cohort(on_one_grid.cohort).cases()
    stored, drawn = read_segmentation(case.labels), read_segmentation(on_one_grid.labels)
    places = [one.affine[:3, :3] @ np.argwhere(one.labels).mean(axis=0) + one.affine[:3, 3] for one in (stored, drawn)]
    np.testing.assert_allclose(places[0] - places[1], shift, atol=0.5)
    moved = PreparationCache().prepare(read_study(case.images, name=case.name)).move_with_images(stored)
    np.testing.assert_allclose(moved.affine, stored.affine)


@pytest.mark.parametrize("modality", [Modality.T2, FLAIR])
def test_an_image_that_cannot_have_been_drawn_on_is_refused(request_, preparations, modality):
    labels = read_segmentation(request_.labels)
    shifted = labels.affine.copy()
    shifted[0, 3] += 0.5
    write_segmentation(replace(labels, affine=shifted), request_.labels)
    with pytest.raises(InputError, match="has no T2" if modality is Modality.T2 else "another grid than the FLAIR"):
        add_case(replace(request_, drawn_on=modality))
    assert not preparations  # refused before anything is computed


def test_a_changed_record_is_noticed_by_the_cohort_and_not_applied(request_, preparations):
    add_case(request_)
    cohort = Cohort(request_.cohort)
    (case,) = cohort.cases()
    case.preparation.write_text(case.preparation.read_text().replace('"digest": "', '"digest": "0'))
    assert any("changed" in problem for problem in cohort.check())
    PreparationCache(records=[case.preparation]).prepare(read_study(case.images, name=case.name))
    assert len(preparations) == 2
