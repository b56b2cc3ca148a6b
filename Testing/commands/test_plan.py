"""`magpie plan pretraining`: its estimates and its refusals."""

from __future__ import annotations

import json

import pytest

from magpie_core.networks import presets
from magpie_core.networks.config import NetworkConfig


@pytest.fixture(autouse=True)
def tiny_preset(monkeypatch):
    """A network that takes its steps in no time."""
    tiny = NetworkConfig(
        widths=(4, 8), encoder_blocks=(1, 1), decoder_blocks=(1,), refinement_channels=4, deep_supervision=0
    )
    monkeypatch.setattr(presets, "PRESETS", {"tiny": tiny})


COMMAND = ("plan", "pretraining", "--network", "tiny", "--view-size", 32, 32, 32, "--threads", 1)


def test_estimate_for_a_named_gpu_is_beside_the_papers(magpie):
    done = magpie(*COMMAND, "--scans", 43505, "--gpus", 4, "--gpu", "H200", "--preset", "paper")
    assert done.exit_code == 0, done.output
    assert "43,505 scans, 100 epochs, 4 GPUs" in done.stdout and "271,907 steps" in done.stdout
    assert "estimated for H200" in done.stdout and "an estimate from the GPU's data sheet" in done.stdout
    assert "72 h on 4 GPUs for 43,505 scans" in done.stdout
    assert "disk" in done.stdout and "memory" in done.stdout and "preparation" in done.stdout


def test_steps_are_measured_on_this_computer(magpie):
    done = magpie(*COMMAND, "--scans", 100, "--device", "cpu", "--json")
    summary = json.loads(done.stdout)
    assert summary["step"].startswith("measured here (cpu") and summary["gpus"] == 1
    assert summary["hours"] == pytest.approx(summary["steps"] * summary["step_s"] / 3600)
    assert summary["steps"] == 5000 and 0 < summary["draw_s"] < summary["step_s"]
    assert summary["paper"] == {"hours": 72, "gpus": 4, "scans": 43505, "epochs": 100}


def test_estimate_uses_scans_sizes_and_times_of_a_dataset(magpie, write_study, tmp_path):
    write_study("a")
    magpie("dataset", "prepare", tmp_path / "studies", "-o", tmp_path / "dataset")
    shown = json.loads(magpie("dataset", "show", tmp_path / "dataset", "--json").stdout)
    summary = json.loads(magpie(*COMMAND, "--dataset", tmp_path / "dataset", "--gpu", "A100", "--json").stdout)
    assert summary["scans"] == 1
    assert summary["disk_gb"] * 1000 == pytest.approx(shown["mean_mb"], abs=0.01)
    assert summary["preparation_hours"] * 3600 == pytest.approx(shown["mean_seconds"], abs=0.01)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 3, "--scans or --dataset"),
        (("--scans", 10, "--gpu", "Voodoo"), 3, "'here' to measure"),
        (("--scans", 10, "--gpus", 0), 2, "--gpus"),
        (("--scans", 10, "--preset", "none"), 3, "magpie, paper, amaes"),
        (("--scans", 10, "--network", "none"), 4, "no network 'none'"),
        (("--dataset", "nowhere"), 3, "not a pretraining dataset"),
    ],
)
def test_impossible_estimates_are_refused_before_any_step(magpie, words, code, message):
    done = magpie(*COMMAND, *words)
    assert done.exit_code == code and message in done.output and "Traceback" not in done.output
