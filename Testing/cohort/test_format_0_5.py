"""A cohort that version 0.5.0 wrote: two patients, three visits, a removed case; synthetic volumes of 12 x 12 x 10."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from magpie_core.cohort.cohort import Cohort
from magpie_core.cohort.importing import import_folder
from magpie_core.imaging.glioma import Region
from magpie_core.imaging.modality import GLIOMA_MODALITIES, Modality
from magpie_core.io.discovery import read_study
from magpie_core.io.segmentation_file import read_segmentation

COHORT = Path(__file__).parent / "data" / "cohort_0.5.0"


@pytest.fixture
def copied(tmp_path: Path) -> Cohort:
    return Cohort(shutil.copytree(COHORT, tmp_path / "cohort"))


def test_cases_and_audit_log_of_version_0_5_load() -> None:
    cohort = Cohort(COHORT)
    cases = cohort.cases()
    assert [case.name.split("_ses-")[1] for case in cases] == ["01", "02", "baseline"]
    assert [case.patient for case in cases] == [cohort.patient_hash(f"patient-{name}") for name in "aab"]
    assert [case.annotator for case in cases] == ["Dr. A", "Dr. B", "Dr. A"]
    assert [case.edited for case in cases] == [0.275, None, None]
    assert tuple(cases[0].images) == GLIOMA_MODALITIES
    assert tuple(cases[1].images) == (Modality.T1CE, Modality.FLAIR)
    assert [entry.event for entry in cohort.log.entries()] == ["create", "add", "add", "add", "add", "remove"]


def test_check_of_a_cohort_of_version_0_5_finds_no_problem() -> None:
    assert Cohort(COHORT).check() == []


def test_images_and_segmentations_of_version_0_5_are_read() -> None:
    case = Cohort(COHORT).cases()[0]
    study, segmentation = read_study(case.folder), read_segmentation(case.labels)
    assert study.modalities == GLIOMA_MODALITIES
    assert all(volume.geometry.matches(segmentation.geometry) for volume in study.volumes.values())
    assert segmentation.schema.name == "magpie"
    assert [np.count_nonzero(segmentation.mask(region)) for region in Region] == [11, 12, 80]


def test_folds_of_a_cohort_of_version_0_5_split_by_patient() -> None:
    folds = Cohort(COHORT).folds(2)
    assert [[case.name.split("_ses-")[1] for case in fold] for fold in folds] == [["01", "02"], ["baseline"]]


def test_adding_to_a_cohort_of_version_0_5_continues_its_log(copied: Cohort, make_case) -> None:
    before = copied.log.path.read_bytes()
    case = copied.add(*make_case(), patient="patient-b", user="Dr. C")
    assert case.name == f"sub-{copied.patient_hash('patient-b')}_ses-01"  # the visit whose first case was removed
    assert [entry.number for entry in copied.log.entries()] == [1, 2, 3, 4, 5, 6, 7]
    assert copied.log.path.read_bytes().startswith(before)
    assert len(copied.cases()) == 4 and copied.check() == []


def test_a_removed_case_goes_to_the_trash_beside_the_bin_of_version_0_5(copied: Cohort) -> None:
    place = copied.remove(copied.cases()[0].name, reason="a test")
    assert place.parent == copied.folder / "trash"
    assert len(list((copied.folder / "bin").iterdir())) == 1
    assert copied.check() == []


def test_import_of_a_cohort_of_version_0_5_ignores_its_bin(copied: Cohort, tmp_path: Path) -> None:
    copied.remove(copied.cases()[2].name, reason="a test")
    other = Cohort.create(tmp_path / "other")
    results = import_folder(other, copied.folder, schema=None)
    assert len(results) == 2 and results[0].case
    # The two visits of this phantom hold the same images, which 0.5 did not notice.
    assert "has this study already" in results[1].problem
