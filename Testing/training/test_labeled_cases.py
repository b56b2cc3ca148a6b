"""Real cases as training samples, and folds."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from magpie_core.errors import InputError
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.io.nifti import write_volume
from magpie_core.io.segmentation_file import find_segmentation, read_segmentation, write_segmentation
from magpie_core.training.labeled_cases import CaseReader, fold_cases, list_cases

NAMES = {"T1": "t1", "T1CE": "t1ce", "T2": "t2", "FLAIR": "flair"}


@pytest.fixture
def cases(tmp_path, make_study):
    for number in range(3):
        study = make_study()
        folder = tmp_path / f"case{number}"
        folder.mkdir()
        for name, volume in study.volumes.items():
            write_volume(volume, folder / f"{NAMES[name.value]}.nii.gz")
        volume = study.volumes[study.reference]
        labels = np.zeros(volume.shape, np.uint8)
        labels[10:16, 12:18, 10:14] = 4
        labels[16:18, 12:18, 10:14] = 2
        write_segmentation(Segmentation(labels, volume.affine, label_schema("brats-2022")), folder / "seg.nii.gz")
    return tmp_path


def test_labels_arrive_in_the_projects_schema_with_their_volume(cases):
    sample = CaseReader("brats-2022").read(list_cases(cases)[0])
    assert np.bincount(sample.labels.ravel(), minlength=4)[1:].tolist() == [0, 2 * 6 * 4, 6 * 6 * 4]
    assert sample.name == "case0"


def test_labels_lie_where_the_lesion_is_however_the_file_is_stored(cases):
    sample = CaseReader("brats-2022").read(list_cases(cases)[0])
    # The phantom is stored LPS; in RAS order its first two axes are flipped.
    enhancing = np.argwhere(sample.labels == 3)
    edema = np.argwhere(sample.labels == 2)
    assert edema[:, 0].max() < enhancing[:, 0].min()


def test_a_resection_cavity_counts_for_nothing(cases):
    case = list_cases(cases)[0]
    reference = read_segmentation(case / "seg.nii.gz", schema=label_schema("brats-2022"))
    labels = np.where(reference.labels == 4, 3, reference.labels)
    labels[10:13, 12:18, 10:14] = 4
    write_segmentation(
        Segmentation(labels.astype(np.uint8), reference.affine, label_schema("brats-2024")), case / "seg.nii.gz"
    )
    sample = CaseReader("brats-2024").read(case)
    assert np.bincount(sample.labels.ravel(), minlength=4)[1:].tolist() == [0, 2 * 6 * 4, 3 * 6 * 4]
    weights = sample.patch((0, 0, 0), sample.shape).weights.numpy()
    assert (weights == 0).sum() == 3 * 6 * 4 and not sample.labels[weights == 0].any()


def test_a_case_without_one_of_the_modalities_is_refused_by_name(cases):
    (cases / "case1" / "t2.nii.gz").unlink()
    with pytest.raises(InputError, match="T2"):
        CaseReader("brats-2022").read(cases / "case1")


def test_a_folder_without_cases_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"seg\.nii\.gz"):
        list_cases(tmp_path)


def test_a_prediction_beside_the_labels_is_never_taken_for_them(cases):
    case = cases / "case0"
    reference = CaseReader("brats-2022").read(case).labels
    empty = Segmentation(np.zeros((4, 4, 4), np.uint8), np.diag([20.0, 20, 20, 1]), label_schema("brats-2022"))
    for name in ("magpie_seg.nii.gz", "pred_seg.nii.gz", "case0_seg.nii.gz"):
        write_segmentation(empty, case / name)
    (case / "._seg.nii.gz").write_bytes(b"Mac OS X")
    assert list_cases(cases)[0] == case
    assert np.array_equal(CaseReader("brats-2022").read(case).labels, reference)


@pytest.mark.parametrize("name", ["case0_seg.nii.gz", "case0-seg.nii.gz"])
def test_labels_with_the_name_of_their_folder_go_before_others(cases, name):
    case = cases / "case0"
    (case / "seg.nii.gz").rename(case / name)
    (case / "a_seg.nii.gz").write_bytes(b"not looked at")
    (case / "._seg.nii.gz").write_bytes(b"Mac OS X")
    assert find_segmentation(case) == case / name
    assert CaseReader("brats-2022").read(case).labels.any()


def test_labels_of_any_name_are_taken_where_they_are_the_only_ones(cases):
    case = cases / "case0"
    (case / "seg.nii.gz").rename(case / "expert_seg.nii.gz")
    (case / "._expert_seg.nii.gz").write_bytes(b"Mac OS X")
    assert CaseReader("brats-2022").read(list_cases(cases)[0]).labels.any()


def test_several_files_that_could_be_the_labels_are_named(cases):
    case = cases / "case0"
    (case / "seg.nii.gz").rename(case / "expert_seg.nii.gz")
    shutil.copy(case / "expert_seg.nii.gz", case / "pred_seg.nii.gz")
    for read in (lambda: CaseReader("brats-2022").read(case), lambda: list_cases(cases)):
        with pytest.raises(InputError, match=r"expert_seg\.nii\.gz and pred_seg\.nii\.gz") as caught:
            read()
        assert caught.value.source == str(case)


def test_hidden_files_and_folders_are_no_cases(cases):
    (cases / "case1" / "seg.nii.gz").rename(cases / "case1" / "._seg.nii.gz")
    shutil.copytree(cases / "case0", cases / ".Trashes")
    assert [case.name for case in list_cases(cases)] == ["case0", "case2"]
    with pytest.raises(InputError, match="no labels"):
        CaseReader("brats-2022").read(cases / "case1")


def test_folds_hold_every_case_out_once(cases):
    listed = list_cases(cases)
    held = [fold_cases(listed, fold, 2)[1] for fold in range(2)]
    assert sorted(case for part in held for case in part) == listed
    for fold in range(2):
        train, out = fold_cases(listed, fold, 2)
        assert not set(train) & set(out) and len(train) + len(out) == 3


@pytest.mark.parametrize(
    ("count", "fold", "folds"), [(8, 4, 4), (8, 9, 4), (8, -1, 4), (8, 0, 0), (8, 0, 1), (2, 3, 4), (1, 0, 4)]
)
def test_a_fold_that_leaves_nothing_to_learn_from_or_to_hold_out_is_refused(tmp_path, count, fold, folds):
    with pytest.raises(InputError, match="fold") as caught:
        fold_cases([tmp_path / f"case{number}" for number in range(count)], fold, folds)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "names",
    [
        [f"BraTS-GLI-0000{patient}-10{visit}" for patient in range(3) for visit in range(2)],
        [f"UPENN-GBM-0000{patient}_{visit}1" for patient in range(3) for visit in (1, 2)],
        [f"pat0{patient}_visit{visit}" for patient in range(3) for visit in range(2)],
        ["Brats18_A_X_1", "Brats18_A_X_2", "Brats18_A_Y_1", "Brats18_A_Y_2", "Brats18_A_Z_1", "Brats18_A_Z_2"],
    ],
    ids=lambda names: names[0],
)
def test_visits_of_a_patient_are_in_one_fold(names):
    for fold in range(3):
        training, held_out = fold_cases([Path(name) for name in names], fold, 3)
        assert [path.name for path in held_out] == names[2 * fold : 2 * fold + 2] and len(training) == 4
