"""`magpie evaluate` with a cohort as the reference standard."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from magpie_core.cohort.cohort import Cohort
from magpie_core.evaluation.region_metrics import dice
from magpie_core.imaging.glioma import Region
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.io.discovery import read_study
from magpie_core.io.nifti import write_volume
from magpie_core.io.segmentation_file import read_segmentation, write_segmentation
from magpie_core.models.model import load_model, save_model
from magpie_core.models.registry import site_versions
from magpie_core.preprocessing.prepared_study import PreparedStudy, preparation_digest


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A site without versions."""
    monkeypatch.setenv("MAGPIE_SITE", str(tmp_path / "site"))
    return site_versions()


@pytest.fixture
def cases(tmp_path, make_volume):
    """Three labeled studies of other people."""
    for number in range(3):
        folder = tmp_path / "cases" / f"case{number}"
        folder.mkdir(parents=True)
        for place, name in enumerate(("t1", "t1ce", "t2", "flair")):
            write_volume(make_volume(seed=10 * number + place), folder / f"{name}.nii.gz")
        grid = make_volume()
        labels = np.zeros(grid.shape, np.uint8)
        labels[8:14, 16:22, 10:16] = 4
        write_segmentation(Segmentation(labels, grid.affine, label_schema("brats-2022")), folder / "seg.nii.gz")
    return tmp_path / "cases"


@pytest.fixture
def cohort(cases, tmp_path):
    """A cohort of the three cases, in three label schemas."""
    cohort = Cohort.create(tmp_path / "cohort")
    for number, schema in enumerate(("magpie", "msd", "brats-2022")):
        study = read_study(cases / f"case{number}")
        drawn = read_segmentation(cases / f"case{number}" / "seg.nii.gz")
        converted = drawn.schema.convert(drawn.labels, label_schema(schema))
        cohort.add(study, Segmentation(converted, drawn.affine, label_schema(schema)), patient=str(number))
    return cohort


def test_a_segmented_cohort_is_scored_with_the_names_of_its_cases(magpie, cohort, tmp_path, site):
    segmented = magpie("batch", cohort.folder, "-o", tmp_path / "results")
    assert segmented.exit_code == 0 and "3 of 3" in segmented.stdout, segmented.output
    done = magpie("evaluate", tmp_path / "results", cohort.folder, "--json", "--pictures", tmp_path / "worst")
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["cases"]
    assert [row["case"] for row in rows] == sorted(case.name for case in cohort.cases())
    # 216 voxels of enhancing tumor in each, whatever the integer that stands for it
    assert all(row["ET"]["reference_volume_ml"] == pytest.approx(0.216, rel=0.02) for row in rows)
    assert len(list((tmp_path / "worst").glob("*.png"))) == 2


def test_results_of_other_names_are_recognized_by_their_images(magpie, cohort, cases, tmp_path, site):
    studies = [cases / f"case{number}" for number in range(3)]
    assert magpie("segment", *studies, "-o", tmp_path / "results").exit_code == 0
    done = magpie("evaluate", tmp_path / "results", cohort.folder, "--json")
    assert done.exit_code == 0, done.output
    by_name = {row["case"]: row["WT"]["dice"] for row in json.loads(done.stdout)["cases"]}
    for number, case in enumerate(cohort.cases()):
        found = read_segmentation(tmp_path / "results" / f"case{number}" / "segmentation.nii.gz")
        assert by_name[case.name] == dice(found.mask(Region.WT), read_segmentation(case.labels).mask(Region.WT))
    (tmp_path / "results" / "case0").rename(tmp_path / "results" / "moved")
    assert magpie("evaluate", tmp_path / "results", cohort.folder).exit_code == 0


def test_cases_without_a_segmentation_are_named_with_the_remedy(magpie, cohort, cases, tmp_path, site):
    assert magpie("segment", cases / "case0", cases / "case1", "-o", tmp_path / "results").exit_code == 0
    done = magpie("evaluate", tmp_path / "results", cohort.folder)
    assert done.exit_code == 3
    assert cohort.cases()[2].name in done.stderr and "magpie batch" in done.stderr


def test_two_segmentations_of_one_case_are_refused(magpie, cohort, cases, tmp_path, site):
    studies = [cases / f"case{number}" for number in range(3)]
    assert magpie("segment", *studies, "-o", tmp_path / "results").exit_code == 0
    again = tmp_path / "results" / "again"
    assert magpie("segment", cases / "case1", "-o", again).exit_code == 0
    done = magpie("evaluate", tmp_path / "results", cohort.folder)
    assert done.exit_code == 3 and "again" in done.stderr and "more than one" in done.stderr


def test_labels_on_another_grid_are_scored_there(magpie, make_study, tmp_path, site):
    """Drawn on a T2 of thick slices; the segmentation lies on the T1ce."""
    study = make_study()
    thick = study.volumes[Modality.T2]
    affine = thick.affine @ np.diag([1, 1, 2, 1])
    t2 = replace(thick, data=np.ascontiguousarray(thick.data[:, :, ::2]), affine=affine)
    study = replace(study, volumes={**study.volumes, Modality.T2: t2})
    labels = np.zeros(t2.shape, np.uint8)
    labels[8:14, 16:22, 4:9] = 3
    cohort = Cohort.create(tmp_path / "cohort")
    prepared = PreparedStudy(study, digest=preparation_digest(study, "magpie"))
    drawn = Segmentation(labels, affine, label_schema("magpie"))
    case = cohort.add(study, drawn, patient="1", preparation=prepared)
    reference = study.volumes[Modality.T1CE]
    found = np.zeros(reference.shape, np.uint8)
    found[8:14, 16:22, 8:18] = 3
    place = tmp_path / "results" / case.name
    place.mkdir(parents=True)
    write_segmentation(Segmentation(found, reference.affine, label_schema("magpie")), place / "segmentation.nii.gz")
    done = magpie("evaluate", tmp_path / "results", cohort.folder, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["cases"][0]["ET"]["dice"] == 1
    assert "brought to the grid of the labels" in done.stderr


def test_a_version_that_was_trained_on_these_patients_is_said(magpie, cohort, tiny_model, tmp_path, site):
    model = load_model(tiny_model)
    trained = replace(model.description, name="site-1", training={"cases": [cohort.cases()[1].name]})
    save_model(tmp_path / "model", trained, model.network.state_dict(), card="# site-1")
    site.add("site-1", tmp_path / "model", {})
    assert magpie("batch", cohort.folder, "-o", tmp_path / "results", "--model", "site-1").exit_code == 0
    done = magpie("evaluate", tmp_path / "results", cohort.folder)
    assert done.exit_code == 0, done.output
    (line,) = [line for line in done.stderr.splitlines() if "trained on" in line]
    assert "site-1" in line and line.endswith(cohort.cases()[1].name)


def test_a_changed_cohort_and_a_second_schema_are_refused(magpie, cohort, tmp_path, site):
    results = tmp_path / "results"
    for case in cohort.cases():
        (results / case.name).mkdir(parents=True)
        write_segmentation(read_segmentation(case.labels), results / case.name / "segmentation.nii.gz")
    assert magpie("evaluate", results, cohort.folder).exit_code == 0
    named = magpie("evaluate", results, cohort.folder, "--reference-schema", "magpie")
    assert named.exit_code == 3 and "Leave out --reference-schema" in named.stderr
    first, _, third = cohort.cases()
    first.labels.write_bytes(third.labels.read_bytes())
    done = magpie("evaluate", results, cohort.folder)
    assert done.exit_code == 3 and first.name in done.stderr and "changed" in done.stderr
