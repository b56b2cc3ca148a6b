"""`magpie segment` from files to files."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from magpie_core.commands import segment as command
from magpie_core.io.segmentation_file import read_segmentation

FILES = {"segmentation.nii.gz", "segmentation.json", "report.json", "overview.png"}


def test_a_study_gives_its_four_files_and_words(magpie, write_study, tmp_path):
    done = magpie("segment", write_study("patient-7"), "-o", tmp_path / "result")
    assert done.exit_code == 0, done.stderr
    assert set(os.listdir(tmp_path / "result")) == FILES
    assert "patient-7" in done.stdout and "Whole tumor" in done.stdout and " ml" in done.stdout
    assert str(tmp_path / "result" / "overview.png") in done.stdout
    report = json.loads((tmp_path / "result" / "report.json").read_text())
    assert report["study"] == "patient-7" and report["modalities_missing"] == []
    assert report["model"]["name"] == "tiny 1"
    assert {"read", "prepare", "network"} <= set(report["seconds"])


def test_progress_has_percentages_and_stages_on_stderr(magpie, write_study, tmp_path):
    done = magpie("segment", write_study(), "-o", tmp_path / "result")
    shares = [int(line.split("%")[0].split()[-1]) for line in done.stderr.splitlines() if "%" in line]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 100 and len(shares) >= 5
    assert "%" not in done.stdout


def test_json_is_one_document_alone_on_stdout(magpie, write_study, tmp_path):
    done = magpie("segment", write_study(), "-o", tmp_path / "result", "--json")
    document = json.loads(done.stdout)
    (study,) = document["studies"]
    assert document["exit_code"] == done.exit_code == 0
    assert set(study["volumes_ml"]) == {"NCR", "ED", "ET", "TC", "WT"}
    labels = read_segmentation(Path(study["segmentation"])).labels
    report = json.loads(Path(study["report"]).read_text(encoding="utf-8"))
    voxels = sum(report["volumes_ml"][tissue] for tissue in ("NCR", "ED", "ET")) * 1000
    assert voxels == pytest.approx((labels > 0).sum(), abs=1)


def test_segment_reports_missing_modalities(magpie, write_study, tmp_path):
    from magpie_core.imaging.modality import Modality

    folder = write_study("two", Modality.T1, Modality.FLAIR)
    done = magpie("segment", folder, "-o", tmp_path / "result", "--json")
    (study,) = json.loads(done.stdout)["studies"]
    assert study["modalities_used"] == ["T1", "FLAIR"] and study["modalities_missing"] == ["T1CE", "T2"]
    assert any("T1ce" in warning for warning in study["warnings"])


def test_single_files_are_taken_by_name(magpie, write_study, tmp_path):
    folder = write_study()
    (folder / "t1ce.nii.gz").rename(tmp_path / "after.nii.gz")
    done = magpie(
        *("segment", "--t1ce", tmp_path / "after.nii.gz", "--flair", folder / "flair.nii.gz"),
        *("-o", tmp_path / "result", "--json"),
    )
    (study,) = json.loads(done.stdout)["studies"]
    assert study["study"] == "result" and study["modalities_used"] == ["T1CE", "FLAIR"]


def test_several_studies_go_to_subfolders_and_a_bad_one_does_not_stop_them(magpie, write_study, tmp_path):
    first, bad, last = write_study("first"), write_study("bad"), write_study("last")
    data = (bad / "t1ce.nii.gz").read_bytes()
    (bad / "t1ce.nii.gz").write_bytes(data[: len(data) // 2])
    done = magpie("segment", first, bad, last, "-o", tmp_path / "results", "--json")
    assert done.exit_code == 3
    outcomes = json.loads(done.stdout)["studies"]
    assert [outcome["study"] for outcome in outcomes] == ["first", "bad", "last"]
    assert "t1ce.nii.gz" in outcomes[1]["error"]["source"] and "t1ce.nii.gz" in done.stderr
    assert set(os.listdir(tmp_path / "results")) == {"first", "last"}
    assert set(os.listdir(tmp_path / "results" / "last")) == FILES


def test_an_earlier_result_is_kept_unless_overwritten(magpie, write_study, tmp_path):
    folder, out = write_study(), tmp_path / "result"
    assert magpie("segment", folder, "-o", out).exit_code == 0
    before = (out / "report.json").stat().st_mtime_ns
    refused = magpie("segment", folder, "-o", out)
    assert refused.exit_code == 3 and "--overwrite" in refused.stderr
    assert (out / "report.json").stat().st_mtime_ns == before
    assert magpie("segment", folder, "-o", out, "--overwrite").exit_code == 0
    assert (out / "report.json").stat().st_mtime_ns != before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "STUDY"),
        (("study", "--t1", "t1.nii.gz"), "either"),
        (("a/study", "b/study"), "named study"),
        (("study", "--device", "tpu"), "cuda:N"),
        (("study", "--precision", "fp64"), "fp32"),
        (("study", "--threads", "0"), "threads"),
        (("--t1", "t1.nii.gz", "--order", "T1"), "--order"),
        (("study", "--unknown"), "unknown"),
    ],
)
def test_a_wrong_command_is_a_usage_error(magpie, tmp_path, arguments, words):
    done = magpie("segment", *arguments, "-o", tmp_path / "result")
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.replace("│", " ").split())
    assert not (tmp_path / "result").exists()


def test_a_folder_that_is_not_there_is_an_input_error(magpie, tmp_path):
    done = magpie("segment", tmp_path / "nowhere", "-o", tmp_path / "result", "--json")
    assert done.exit_code == 3
    error = json.loads(done.stdout)["studies"][0]["error"]
    assert error["kind"] == "InputError" and "nowhere" in error["source"] and error["remedy"]


def test_an_unknown_model_is_a_model_error(magpie, write_study, tmp_path):
    done = magpie("segment", write_study(), "-o", tmp_path / "result", "--model", "magpie-x", "--json")
    assert done.exit_code == 4 and not (tmp_path / "result").exists()
    assert "magpie-x" in json.loads(done.stdout)["error"]["what"]


def test_altered_weights_are_not_loaded(magpie, models_folder, write_study, tmp_path):
    import shutil

    altered = tmp_path / "altered"
    shutil.copytree(models_folder / "magpie-s", altered)
    weights = bytearray((altered / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (altered / "weights.safetensors").write_bytes(weights)
    done = magpie("segment", write_study(), "-o", tmp_path / "result", "--model", altered)
    assert done.exit_code == 4 and "weights.safetensors" in done.stderr and not (tmp_path / "result").exists()


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ValueError("so odd"), 1, "report it"),
        (MemoryError(), 5, "Memory"),
        (ModuleNotFoundError("No module named 'monai'", name="monai"), 5, "'monai'"),
    ],
)
def test_the_unexpected_is_short_and_has_no_traceback(magpie, write_study, tmp_path, monkeypatch, error, code, words):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(command, "segment_study", fail)
    done = magpie("segment", write_study(), "-o", tmp_path / "result")
    assert done.exit_code == code and words in done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr) < 600
    debugged = magpie("--debug", "segment", tmp_path / "studies" / "patient", "-o", tmp_path / "result")
    assert debugged.exit_code == code and "Traceback" in debugged.stderr


def test_cancelling_ends_with_130_and_leaves_nothing(magpie, write_study, tmp_path, monkeypatch):
    def cancel(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "segment_study", cancel)
    done = magpie("segment", write_study("a"), write_study("b"), "-o", tmp_path / "result", "--json")
    assert done.exit_code == 130 and "Traceback" not in done.stderr
    assert json.loads(done.stdout)["error"]["kind"] == "Cancelled"
    assert not (tmp_path / "result").exists()


@pytest.mark.skipif(os.name != "posix", reason="sends a Unix signal")
def test_ctrl_c_in_a_terminal(models_folder, write_study, tmp_path):
    """A real process, interrupted after its first words."""
    child = subprocess.Popen(
        [sys.executable, "-m", "magpie_core.cli", "segment", write_study(), "-o", tmp_path / "result"],
        env=os.environ | {"MAGPIE_MODELS": str(models_folder)},
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job ignores the signal, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert "license" in child.stderr.readline()
    assert "0%" in child.stderr.readline()
    # Python drops an interrupt that falls into a destructor; a user presses again.
    while child.poll() is None:
        child.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=5)
    rest = child.stderr.read()
    assert child.wait() == 130 and "Cancelled" in rest and "Traceback" not in rest
    assert not (tmp_path / "result").exists()
    assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == []


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text there")
def test_a_name_that_is_no_text_is_spelled_out(magpie, tmp_path):
    study = tmp_path / os.fsdecode(b"M\xfcller")
    result = magpie("segment", study, "-o", tmp_path / "out", "--json")
    assert result.exit_code == 3
    (outcome,) = json.loads(result.stdout)["studies"]
    assert outcome["error"]["source"] == str(study)
