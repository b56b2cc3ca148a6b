"""A result is written completely or not at all."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace

import numpy as np
import pytest

from magpie_core.errors import InputError, ResourceError
from magpie_core.imaging.volume import Volume
from magpie_core.io.segmentation_file import read_segmentation
from magpie_core.preprocessing.prepared_study import PreparedStudy
from magpie_core.report import write
from magpie_core.report.write import build_report, write_results

FILES = {"segmentation.nii.gz", "segmentation.json", "report.json"}


def names(folder) -> set[str]:
    """Return the names of all files in a folder, hidden ones included."""
    return set(os.listdir(folder))


def test_all_files_are_written_and_read_back(study, prediction, tmp_path):
    paths = write_results(build_report(study, prediction), prediction, tmp_path / "deep" / "result")
    assert names(tmp_path / "deep" / "result") == FILES
    assert names(tmp_path) == {"deep"} and names(tmp_path / "deep") == {"result"}
    again = read_segmentation(paths["segmentation"])
    np.testing.assert_array_equal(again.labels, prediction.segmentation.labels)
    assert again.geometry.matches(prediction.segmentation.geometry)
    assert json.loads(paths["report"].read_text())["study"] == "patient-7"


def test_the_folder_has_usual_permissions(study, prediction, tmp_path):
    (tmp_path / "usual").mkdir()
    write_results(build_report(study, prediction), prediction, tmp_path / "result")
    assert stat.S_IMODE((tmp_path / "result").stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode)


def test_an_earlier_result_is_refused(study, prediction, tmp_path):
    write_results(build_report(study, prediction), prediction, tmp_path / "result")
    before = (tmp_path / "result" / "report.json").read_bytes()
    with pytest.raises(InputError, match="--overwrite"):
        write_results(build_report(study, prediction), prediction, tmp_path / "result")
    assert (tmp_path / "result" / "report.json").read_bytes() == before


def test_overwriting_replaces_the_result_and_nothing_else(study, prediction, no_tumor, tmp_path):
    out = tmp_path / "result"
    write_results(build_report(study, prediction), prediction, out)
    (out / "notes.txt").write_text("mine")
    paths = write_results(build_report(study, no_tumor), no_tumor, out, overwrite=True)
    assert names(out) == FILES | {"notes.txt"} and (out / "notes.txt").read_text() == "mine"
    assert json.loads(paths["report"].read_text())["volumes_ml"]["WT"] == 0
    assert not read_segmentation(paths["segmentation"]).labels.any()


def test_a_folder_with_other_files_is_used(study, prediction, tmp_path):
    (tmp_path / "t1.nii.gz").write_bytes(b"mine")
    write_results(build_report(study, prediction), prediction, tmp_path)
    assert names(tmp_path) == FILES | {"t1.nii.gz"}


def test_a_file_in_place_of_the_folder_is_refused(study, prediction, tmp_path):
    (tmp_path / "result").write_text("mine")
    with pytest.raises(InputError, match="not a folder"):
        write_results(build_report(study, prediction), prediction, tmp_path / "result")
    assert (tmp_path / "result").read_text() == "mine"


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("step", ["write_segmentation", "draw_preprocessing"])
def test_a_failure_leaves_nothing(study, prediction, tmp_path, monkeypatch, step, existing):
    out = tmp_path / "result"
    mask = Volume(np.ones(study.volumes[study.reference].shape, np.uint8), study.volumes[study.reference].affine)
    prediction = replace(prediction, prepared=PreparedStudy(study, mask))
    if existing:
        out.mkdir()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, step, full)
    with pytest.raises(ResourceError, match="No space left") as caught:
        write_results(build_report(study, prediction), prediction, out)
    assert str(out) in str(caught.value)
    assert names(tmp_path) == ({"result"} if existing else set())
    assert not existing or names(out) == set()


def test_cancelling_while_writing_keeps_the_earlier_result(study, prediction, no_tumor, tmp_path, monkeypatch):
    write_results(build_report(study, prediction), prediction, tmp_path / "result")
    before = (tmp_path / "result" / "segmentation.nii.gz").read_bytes()

    def cancel(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(write, "write_segmentation", cancel)
    with pytest.raises(KeyboardInterrupt):
        write_results(build_report(study, no_tumor), no_tumor, tmp_path / "result", overwrite=True)
    assert (tmp_path / "result" / "segmentation.nii.gz").read_bytes() == before
    assert names(tmp_path / "result") == FILES


def test_a_failed_move_deletes_the_files_that_were_moved(study, prediction, tmp_path, monkeypatch):
    out = tmp_path / "result"
    out.mkdir()
    replace = os.replace

    def failing(source, target):
        if str(target) == str(out / "report.json"):
            raise PermissionError(13, "Permission denied")
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(ResourceError, match="Permission denied"):
        write_results(build_report(study, prediction), prediction, out)
    assert names(out) == set()
