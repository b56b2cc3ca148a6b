"""A study is prepared once, and what was found is applied to the same images again."""

from __future__ import annotations

import numpy as np
import pytest

from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.preprocessing import preparation_cache
from magpie_core.preprocessing.preparation_cache import PreparationCache, read_preparation, write_preparation
from magpie_core.preprocessing.prepared_study import PreparedStudy, preparation_digest
from magpie_core.preprocessing.registration import Registration

T1CE, T2 = Modality.T1CE, Modality.T2


@pytest.fixture
def prepared(make_volume) -> PreparedStudy:
    """A study whose T2, on a grid of its own, was moved; its brain was extracted."""
    fixed, moving = make_volume((40, 44, 36), seed=0), make_volume((40, 44, 36), seed=1)
    moving = Volume(moving.data[:, :, :30], moving.affine)
    matrix = np.eye(4)
    matrix[:3, 3] = (7.25, -3.5, 2.125)
    study = Study({T1CE: fixed, T2: moving}, "raw")
    moved = Study({T1CE: fixed, T2: Volume(moving.data, matrix @ moving.affine)}, "raw")
    found = Registration(matrix, 0.5, 0.2, 0.3, 0.4, (1.0, 2.0, 3.0))
    brain = Volume(fixed.data > 0, fixed.affine)
    return PreparedStudy(moved, brain, {T2: found}, "magpie", ("moved",), preparation_digest(study, "magpie"))


def original(prepared: PreparedStudy) -> Study:
    """The study before it was prepared."""
    volumes = dict(prepared.study.volumes)
    moved = volumes[T2]
    volumes[T2] = Volume(moved.data, np.linalg.inv(prepared.registrations[T2].matrix) @ moved.affine)
    return Study(volumes, "raw")


def test_record_restores_the_preparation_of_the_same_images(prepared, tmp_path) -> None:
    record = tmp_path / "preparation.json"
    write_preparation(prepared, record, tmp_path / "brain.nii.gz")
    found = read_preparation(record, original(prepared))
    assert found is not None
    np.testing.assert_array_equal(found.study.volumes[T2].affine, prepared.study.volumes[T2].affine)
    np.testing.assert_array_equal(found.brain.data, prepared.brain.data)
    assert found.as_dict() == prepared.as_dict()
    assert found.warnings == prepared.warnings and found.digest == prepared.digest


def test_record_is_not_applied_to_other_images_or_another_method(prepared, tmp_path) -> None:
    record = tmp_path / "preparation.json"
    write_preparation(prepared, record, tmp_path / "brain.nii.gz")
    study = original(prepared)
    assert read_preparation(record, study, brain_extraction="hd-bet") is None
    changed = study.volumes[T1CE].data.copy()
    changed[5, 5, 5] += 1
    other = Study({**study.volumes, T1CE: Volume(changed, study.volumes[T1CE].affine)}, "raw")
    assert read_preparation(record, other) is None
    record.write_text("{", encoding="utf-8")
    assert read_preparation(record, study) is None


def test_cache_prepares_a_study_once_in_memory_and_on_disk(prepared, tmp_path, monkeypatch) -> None:
    calls = []

    def prepare(study, **options):
        calls.append(study.name)
        return prepared

    monkeypatch.setattr(preparation_cache, "prepare_study", prepare)
    study = original(prepared)
    cache = PreparationCache(tmp_path / "cache")
    assert cache.prepare(study) is prepared
    assert cache.prepare(Study(study.volumes, "the same under another name")) is prepared
    again = PreparationCache(tmp_path / "cache").prepare(study)
    elsewhere = PreparationCache(records=[*(tmp_path / "cache").glob("*.json"), tmp_path / "none.json"])
    assert elsewhere.prepare(study).as_dict() == prepared.as_dict()
    assert calls == ["raw"]
    assert again.as_dict() == prepared.as_dict()


def test_cache_keeps_the_studies_used_last(prepared, make_volume, monkeypatch) -> None:
    calls = []
    real = preparation_cache.prepare_study
    monkeypatch.setattr(
        preparation_cache, "prepare_study", lambda study, **options: calls.append(study.name) or real(study, **options)
    )
    studies = [Study({T1CE: make_volume((40, 44, 36), seed=seed)}, str(seed)) for seed in range(3)]
    cache = PreparationCache(capacity=2)
    for number in (0, 1, 0, 2, 0, 1):
        cache.prepare(studies[number])
    assert calls == ["0", "1", "2", "1"]


def test_labels_follow_the_registration_of_the_image_they_were_drawn_on(prepared) -> None:
    schema = label_schema("magpie")
    before = original(prepared)
    for modality in (T1CE, T2):
        volume = before.volumes[modality]
        drawn = Segmentation(np.zeros(volume.shape, np.uint8), volume.affine, schema)
        placed = prepared.move_with_images(drawn)
        np.testing.assert_allclose(placed.affine, prepared.study.volumes[modality].affine)
    elsewhere = Segmentation(np.zeros((3, 3, 3), np.uint8), np.eye(4), schema)
    assert prepared.move_with_images(elsewhere) is elsewhere


def test_model_grid_is_resampled_once_for_a_voxel_size(prepared) -> None:
    assert prepared.on_model_grid(2.0) is prepared.on_model_grid(2.0)
    assert prepared.on_model_grid(2.0).spacing_mm == 2.0 != prepared.on_model_grid(3.0).spacing_mm
