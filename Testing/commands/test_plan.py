"""`magpie plan pretraining`: what it says, and what it refuses."""

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


WORDS = ("plan", "pretraining", "--network", "tiny", "--box", 32, 32, 32, "--threads", 1)


def test_a_named_card_is_an_estimate_and_the_paper_stands_beside(magpie):
    done = magpie(*WORDS, "--scans", 43505, "--gpus", 4, "--gpu", "H200", "--preset", "paper")
    assert done.exit_code == 0, done.output
    assert "43,505 scans, 100 passes, 4 cards" in done.stdout and "271,907 steps" in done.stdout
    assert "estimated for H200" in done.stdout and "an estimate from the card's data sheet" in done.stdout
    assert "72 h on 4 cards for 43,505 scans" in done.stdout
    assert "disk" in done.stdout and "memory" in done.stdout and "preparation" in done.stdout


def test_steps_are_really_taken_here(magpie):
    done = magpie(*WORDS, "--scans", 100, "--device", "cpu", "--json")
    figures = json.loads(done.stdout)
    assert figures["step"].startswith("measured here (cpu") and figures["gpus"] == 1
    assert figures["hours"] == pytest.approx(figures["steps"] * figures["step_s"] / 3600)
    assert figures["steps"] == 5000 and 0 < figures["draw_s"] < figures["step_s"]
    assert figures["paper"] == {"hours": 72, "gpus": 4, "scans": 43505, "passes": 100}


def test_a_corpus_tells_its_scans_sizes_and_times(magpie, write_study, tmp_path):
    write_study("a")
    magpie("corpus", "prepare", tmp_path / "studies", "-o", tmp_path / "corpus")
    shown = json.loads(magpie("corpus", "show", tmp_path / "corpus", "--json").stdout)
    figures = json.loads(magpie(*WORDS, "--corpus", tmp_path / "corpus", "--gpu", "A100", "--json").stdout)
    assert figures["scans"] == 1
    assert figures["disk_gb"] * 1000 == pytest.approx(shown["mean_mb"], abs=0.01)
    assert figures["preparation_hours"] * 3600 == pytest.approx(shown["mean_seconds"], abs=0.01)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 3, "--scans or --corpus"),
        (("--scans", 10, "--gpu", "Voodoo"), 3, "'here' to measure"),
        (("--scans", 10, "--gpus", 0), 3, "at least one of: gpus"),
        (("--scans", 10, "--preset", "none"), 3, "magpie, paper, amaes"),
        (("--scans", 10, "--network", "none"), 4, "no network 'none'"),
        (("--corpus", "nowhere"), 3, "not a corpus"),
    ],
)
def test_what_cannot_be_reckoned_is_refused_before_any_step(magpie, words, code, said):
    done = magpie(*WORDS, *words)
    assert done.exit_code == code and said in done.output and "Traceback" not in done.output
