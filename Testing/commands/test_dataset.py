"""`magpie dataset`: the output of its commands and their files."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from magpie_core.imaging.modality import Modality


@pytest.fixture
def data(write_study, tmp_path) -> Path:
    """Two sound subjects, one damaged."""
    write_study("a", Modality.T1, Modality.FLAIR)
    image = write_study("b") / "t1.nii.gz"
    broken = write_study("broken", Modality.T1) / "t1.nii.gz"
    broken.write_bytes(broken.read_bytes()[:200])
    # The phantoms of one modality are alike; a study of its own needs images of its own.
    for path in image.parent.iterdir():
        path.unlink()
    from magpie_core.imaging.volume import Volume
    from magpie_core.io.nifti import read_volume, write_volume

    other = read_volume(tmp_path / "studies" / "a" / "t1.nii.gz")
    write_volume(Volume((other.data * (other.data > 280))[::-1].copy(), other.affine), image)
    return tmp_path / "studies"


def refused(out: Path) -> list[dict[str, str]]:
    with (out / "refused.csv").open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def test_prepare_reports_what_show_shows(magpie, data, tmp_path):
    out = tmp_path / "dataset"
    done = magpie("dataset", "prepare", data, "-o", out, "--validation-fraction", 0)
    assert done.exit_code == 0, done.output
    assert "2 studies of 2 subjects, at 2 mm" in done.stdout and "refused     1" in done.stdout
    assert "T1 2, T1CE 0, T2 0, FLAIR 1" in done.stdout
    (row,) = refused(out)
    assert row["subject"] == "broken" and row["file"].endswith("t1.nii.gz") and row["state"] == "refused"
    assert "cut short" in row["what"] and row["cause"] and row["remedy"]
    shown = magpie("dataset", "show", out)
    assert shown.exit_code == 0 and shown.stdout == done.stdout
    summary = json.loads(magpie("dataset", "show", out, "--json").stdout)
    assert summary["studies"] == 2 and summary["not_used"] == {"refused": 1}
    assert summary["splits"]["train"] == {"studies": 2, "subjects": 2}


def test_excluded_cases_are_left_out_and_listed(magpie, data, tmp_path):
    evaluation = tmp_path / "evaluation"
    shutil.copytree(data / "a", evaluation / "another-name")
    out = tmp_path / "dataset"
    done = magpie("dataset", "prepare", data, "-o", out, "--exclude", evaluation, "--json")
    assert json.loads(done.stdout)["not_used"] == {"excluded": 1, "refused": 1}
    assert {row["subject"]: row["state"] for row in refused(out)} == {"a": "excluded", "broken": "refused"}
    assert "whatever name" in refused(out)[0]["cause"]


def test_disk_quota_is_reported_with_the_evicted_studies(magpie, data, tmp_path):
    done = magpie("dataset", "prepare", data, "-o", tmp_path / "dataset", "--disk-gb", 0.000009)
    assert "1 studies were evicted" in done.stdout, done.output


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nowhere"], 3, "no such folder or manifest"),
        (["studies", "--spacing-mm", "99"], 2, "99.0 is not a number from 0.5 to"),
        (["studies", "--validation-fraction", "2"], 2, "2.0 is not a number from 0 to"),
        (["studies", "--exclude", "nowhere.txt"], 3, "Cannot read the list of exclusions"),
        (["studies", "--intensities", "loud"], 2, "zscore"),
    ],
)
def test_prepare_refuses_without_a_traceback(magpie, data, tmp_path, monkeypatch, words, code, message):
    monkeypatch.chdir(tmp_path)
    done = magpie("dataset", "prepare", *words, "-o", "dataset")
    assert done.exit_code == code and message in done.output and "Traceback" not in done.output


def test_show_refuses_a_folder_that_is_no_dataset(magpie, tmp_path):
    done = magpie("dataset", "show", tmp_path)
    assert done.exit_code == 3 and "magpie dataset prepare" in done.output
