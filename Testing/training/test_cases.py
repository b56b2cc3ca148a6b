"""Real cases as training samples, and folds."""

import numpy as np
import pytest

from magpie_core.errors import InputError
from magpie_core.study.label_schema import label_schema
from magpie_core.study.nifti import write_volume
from magpie_core.study.segmentation import Segmentation, write_segmentation
from magpie_core.training.cases import CaseReader, fold_cases, list_cases

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
        write_segmentation(
            Segmentation(labels, volume.affine, label_schema("brats-2022")), folder / "seg.nii.gz"
        )
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


def test_a_case_without_one_of_the_sequences_is_refused_by_name(cases):
    (cases / "case1" / "t2.nii.gz").unlink()
    with pytest.raises(InputError, match="T2"):
        CaseReader("brats-2022").read(cases / "case1")


def test_a_folder_without_cases_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"seg\.nii\.gz"):
        list_cases(tmp_path)


def test_folds_hold_every_case_out_once(cases):
    listed = list_cases(cases)
    held = [fold_cases(listed, fold, 2)[1] for fold in range(2)]
    assert sorted(case for part in held for case in part) == listed
    for fold in range(2):
        train, out = fold_cases(listed, fold, 2)
        assert not set(train) & set(out) and len(train) + len(out) == 3
