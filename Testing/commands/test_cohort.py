"""`magpie cohort`: create, add, list, check, import, export, remove."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from magpie_core.cli import app
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.io.nifti import write_volume
from magpie_core.io.segmentation_file import sidecar_path, write_segmentation


@pytest.fixture
def study(tmp_path, make_study):
    """Return the folder of a study and its segmentation, which has no sidecar."""
    phantom = make_study(shape=(16, 18, 14))
    folder = tmp_path / "study"
    folder.mkdir()
    for name, volume in phantom.volumes.items():
        write_volume(volume, folder / f"{name.value.lower()}.nii.gz")
    volume = phantom.volumes[phantom.reference]
    labels = np.zeros(volume.shape, np.uint8)
    labels[6:9, 6:9, 6:9] = 4
    path = tmp_path / "corrected.nii.gz"
    write_segmentation(Segmentation(labels, volume.affine, label_schema("brats-2022")), path)
    sidecar_path(path).unlink()
    return folder, path


def _run(*arguments):
    return CliRunner().invoke(app, ["cohort", *map(str, arguments)])


def test_a_case_is_added_listed_checked_exported_and_removed(tmp_path, study):
    folder, labels = study
    cohort = tmp_path / "cohort"
    assert _run("create", cohort, "--name", "Site A").exit_code == 0
    added = _run("add", cohort, folder, labels, "--patient", "7", "--schema", "brats-2022", "--user", "Dr. A")
    assert added.exit_code == 0, added.output
    (row,) = json.loads(_run("list", cohort, "--json").stdout)["cases"]
    assert row["modalities"] == ["T1", "T1CE", "T2", "FLAIR"] and row["annotator"] == "Dr. A"
    assert "1 cases" in _run("list", cohort).stdout
    assert _run("check", cohort).exit_code == 0
    assert _run("export", cohort, tmp_path / "nnunet").exit_code == 0
    assert (tmp_path / "nnunet" / "dataset.json").is_file()
    assert _run("remove", cohort, row["case"], "--reason", "poor").exit_code == 0
    assert json.loads(_run("list", cohort, "--json").stdout) == {"cases": []}


def test_errors_have_the_documented_exit_codes(tmp_path, study):
    folder, labels = study
    cohort = tmp_path / "cohort"
    assert _run("list", tmp_path / "nowhere").exit_code == 3
    _run("create", cohort)
    unknown = _run("add", cohort, folder, labels, "--patient", "7")
    assert unknown.exit_code == 3 and "schema" in unknown.output
    assert _run("export", cohort, tmp_path / "x", "--as", "zip").exit_code == 3
    (cohort / "sub-1" / "ses-1").mkdir(parents=True)
    checked = _run("check", cohort, "--json")
    assert checked.exit_code == 3 and len(json.loads(checked.stdout)["problems"]) == 1


def test_import_prints_the_number_of_added_cases(tmp_path, study):
    folder, labels = study
    case = tmp_path / "cases" / "one"
    case.mkdir(parents=True)
    for path in folder.iterdir():
        path.rename(case / path.name)
    labels.rename(case / "seg.nii.gz")
    cohort = tmp_path / "cohort"
    _run("create", cohort)
    result = _run("import", cohort, tmp_path / "cases", "--schema", "brats-2022")
    assert result.exit_code == 0 and "1 of 1" in result.output
    again = _run("import", cohort, tmp_path / "cases", "--schema", "brats-2022")
    assert again.exit_code == 3 and "already" in again.output
