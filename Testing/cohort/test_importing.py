"""Import from other programs' folders."""

import json
from dataclasses import replace

import numpy as np
import pytest

from magpie_core.cohort.cohort import Cohort
from magpie_core.cohort.exporting import export_cohort
from magpie_core.cohort.identity import local_names
from magpie_core.cohort.importing import import_folder
from magpie_core.errors import InputError
from magpie_core.imaging.modality import Modality
from magpie_core.io.nifti import write_volume
from magpie_core.io.segmentation_file import sidecar_path, write_segmentation

NAMES = {Modality.T1: "t1", Modality.T1CE: "t1ce", Modality.T2: "t2", Modality.FLAIR: "flair"}


def _write_brats(folder, make_case, count=3):
    for number in range(count):
        study, labels = make_case(number, schema="brats-2022")
        case = folder / f"BraTS_{number:03d}"
        case.mkdir(parents=True)
        for name, volume in study.volumes.items():
            write_volume(volume, case / f"{case.name}_{NAMES[name]}.nii.gz")
        path = case / f"{case.name}_seg.nii.gz"
        write_segmentation(labels, path)
        sidecar_path(path).unlink()


def test_import_adds_brats_cases_and_reports_faulty_ones(cohort, make_case, tmp_path):
    _write_brats(tmp_path / "brats", make_case)
    (tmp_path / "brats" / "BraTS_001" / "BraTS_001_t1.nii.gz").write_bytes(b"nonsense")
    results = import_folder(cohort, tmp_path / "brats", schema="brats-2022")
    assert [result.case is not None for result in results] == [True, False, True]
    assert "BraTS_001_t1" in results[1].problem
    assert len(cohort.cases()) == 2 and cohort.check() == []


def test_import_does_not_take_a_prediction_for_the_reference_standard(cohort, make_case, tmp_path):
    _write_brats(tmp_path / "brats", make_case, count=2)
    first, second = sorted((tmp_path / "brats").iterdir())
    for name in ("._BraTS_000_seg.nii.gz", "a_seg.nii.gz"):
        (first / name).write_bytes(b"ignored")
    (second / f"{second.name}_seg.nii.gz").rename(second / "b_seg.nii.gz")
    (second / "a_seg.nii.gz").write_bytes(b"ignored")
    results = import_folder(cohort, tmp_path / "brats", schema="brats-2022")
    assert [result.case is not None for result in results] == [True, False]
    assert results[0].source == first / "BraTS_000_seg.nii.gz"
    assert "a_seg.nii.gz and b_seg.nii.gz" in results[1].problem


def test_import_recognizes_the_patient_in_folder_and_file_names(cohort, make_case, tmp_path):
    """The patient is named by the folders, or by the files alone where a visit's folder has a name of its own."""
    _write_brats(tmp_path / "visits", make_case, count=3)
    for number, (place, name) in enumerate(
        [("visit_2019", "sub-01_ses-1"), ("visit_2020", "sub-01_ses-2"), ("sub-02/ses-1/anat", "x")]
    ):
        before, after = tmp_path / "visits" / f"BraTS_{number:03d}", tmp_path / "visits" / place
        after.parent.mkdir(parents=True, exist_ok=True)
        before.rename(after)
        for path in list(after.iterdir()):
            path.rename(after / path.name.replace(f"BraTS_{number:03d}", name))
    results = import_folder(cohort, tmp_path / "visits", schema="brats-2022")
    assert all(result.case for result in results), results
    patients = {case.name: case.patient for case in cohort.cases()}
    by_source = {result.source.parent.name: patients[result.case] for result in results}
    assert by_source["visit_2019"] == by_source["visit_2020"] != by_source["anat"]


def test_import_without_a_schema_does_not_guess_the_labels(cohort, make_case, tmp_path):
    _write_brats(tmp_path / "brats", make_case, count=1)
    (result,) = import_folder(cohort, tmp_path / "brats", schema=None)
    assert result.case is None and "schema" in result.problem


def test_import_reads_another_cohort(cohort, make_case, tmp_path):
    cohort.add(*make_case(), patient="1")
    other = Cohort.create(tmp_path / "other")
    (result,) = import_folder(other, cohort.folder, schema=None)
    assert result.case is not None and "another site" not in " ".join(result.warnings)


def test_visits_of_a_patient_in_two_cohorts_are_of_one_patient_when_merged(cohort, make_case, tmp_path):
    other = Cohort.create(tmp_path / "other")
    cohort.add(*make_case(0), patient="4711")
    other.add(*make_case(1), patient="4711", visit="b")
    import_folder(cohort, other.folder)
    assert len(cohort.cases()) == 2 and len({case.patient for case in cohort.cases()}) == 1
    assert [local_names()[case.name] for case in cohort.cases()] == ["4711", "4711 b"]


@pytest.mark.parametrize("layout", ["nnunet", "bids"])
def test_an_export_that_is_imported_again_is_of_the_same_patients(cohort, make_case, tmp_path, layout):
    for patient in ("4711", "4712"):
        cohort.add(*make_case(int(patient)), patient=patient)
    export_cohort(cohort, tmp_path / "Dataset001_x", layout)
    again = Cohort.create(tmp_path / "again")
    assert all(result.case for result in import_folder(again, tmp_path / "Dataset001_x"))
    assert {case.patient for case in again.cases()} == {case.patient for case in cohort.cases()}
    assert {local_names()[case.name] for case in again.cases()} == {"4711", "4712"}


def test_a_cohort_with_changed_files_is_not_imported(cohort, make_case, tmp_path):
    study, labels = make_case()
    case = cohort.add(study, labels, patient="1")
    write_segmentation(replace(labels, labels=labels.labels * 0), case.labels)
    other = Cohort.create(tmp_path / "other")
    with pytest.raises(InputError, match="changed since it was added"):
        import_folder(other, cohort.folder)
    assert other.cases() == []


def test_patients_of_a_cohort_of_another_site_are_said_not_to_be_recognized(cohort, make_case, tmp_path, monkeypatch):
    monkeypatch.setenv("MAGPIE_SITE", str(tmp_path / "site"))
    other = Cohort.create(tmp_path / "other")
    other.add(*make_case(), patient="1")
    (result,) = import_folder(cohort, other.folder)
    assert "another site" in " ".join(result.warnings)


def test_imported_cases_are_called_at_the_site_as_their_data_set_does(cohort, make_case, tmp_path):
    _write_brats(tmp_path / "brats", make_case, count=2)
    for number, path in enumerate(sorted((tmp_path / "brats").iterdir())):
        path.rename(path.with_name(f"BraTS-GLI-00005-10{number}"))
    import_folder(cohort, tmp_path / "brats", schema="brats-2022")
    assert len({case.patient for case in cohort.cases()}) == 1
    names = [local_names()[case.name] for case in cohort.cases()]
    assert names == ["BraTS-GLI-00005-100", "BraTS-GLI-00005-101"]


def test_import_finds_bids_images_of_derivatives(cohort, make_case, tmp_path):
    study, labels = make_case()
    raw = tmp_path / "bids" / "sub-01" / "ses-1" / "anat"
    derived = tmp_path / "bids" / "derivatives" / "reader" / "sub-01" / "ses-1" / "anat"
    raw.mkdir(parents=True)
    derived.mkdir(parents=True)
    for name, suffix in ((Modality.T1, "T1w"), (Modality.FLAIR, "FLAIR")):
        write_volume(study.volumes[name], raw / f"sub-01_ses-1_{suffix}.nii.gz")
    write_segmentation(labels, derived / "sub-01_ses-1_dseg.nii.gz")
    (result,) = import_folder(cohort, tmp_path / "bids", schema=None)
    assert result.case, result.problem
    assert set(cohort.cases()[0].images) == {Modality.T1, Modality.FLAIR}


def test_import_of_a_decathlon_dataset_uses_its_channel_order(cohort, make_case, tmp_path):
    import nibabel

    study, labels = make_case(schema="msd")
    for part in ("imagesTr", "labelsTr"):
        (tmp_path / "msd" / part).mkdir(parents=True)
    order = (Modality.FLAIR, Modality.T1, Modality.T1CE, Modality.T2)
    stack = np.stack([study.volumes[name].data for name in order], axis=-1)
    nibabel.save(nibabel.Nifti1Image(stack, labels.affine), tmp_path / "msd" / "imagesTr" / "BRATS_001.nii.gz")
    write_segmentation(labels, tmp_path / "msd" / "labelsTr" / "BRATS_001.nii.gz")
    described = {"modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}}
    (tmp_path / "msd" / "dataset.json").write_text(json.dumps(described))
    (result,) = import_folder(cohort, tmp_path / "msd", schema="msd")
    assert result.case, result.problem
    from magpie_core.io.discovery import read_study

    again = read_study(cohort.cases()[0].folder)
    for name, volume in study.volumes.items():
        np.testing.assert_allclose(again.volumes[name].data, volume.data)


def test_an_empty_source_is_refused(cohort, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no labeled cases"):
        import_folder(cohort, tmp_path / "empty", schema="magpie")


def test_import_follows_links_to_cases_once(cohort, make_case, tmp_path):
    _write_brats(tmp_path / "elsewhere", make_case, count=2)
    source = tmp_path / "source"
    source.mkdir()
    for case in (tmp_path / "elsewhere").iterdir():
        (source / case.name).symlink_to(case)
    (source / "again").symlink_to(source)
    results = import_folder(cohort, source, schema="brats-2022")
    assert [result.case is not None for result in results] == [True, True] and cohort.check() == []
