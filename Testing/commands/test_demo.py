"""`magpie demo` and `magpie synthesize`, from nothing to a picture."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from magpie_core.io.discovery import find_modalities
from magpie_core.io.segmentation_file import read_segmentation


@pytest.fixture
def no_label_maps(monkeypatch):
    """Only what is installed."""
    monkeypatch.delenv("MAGPIE_ANATOMY", raising=False)


def test_the_demo_ends_with_a_picture(magpie, no_label_maps, tmp_path):
    out = tmp_path / "demo"
    done = magpie("demo", "-o", out)
    assert done.exit_code == 0, done.stderr
    last = done.stdout.strip().splitlines()[-1]
    assert last == f"Look at the picture: {out / 'result' / 'overview.png'}"
    assert (out / "result" / "overview.png").stat().st_size > 50_000
    assert "Dice" in done.stdout and "whole tumor" in done.stdout
    assert "skull" not in done.stdout  # a clean example
    assert len(find_modalities(out / "study")) == 4
    refused = magpie("demo", "-o", out)
    assert refused.exit_code == 3 and "--overwrite" in refused.stderr


def test_synthetic_studies_come_with_their_reference_and_again_from_the_seed(magpie, no_label_maps, tmp_path):
    done = magpie("synthesize", "-n", "2", "--seed", "5", "-o", tmp_path / "a", "--spacing-mm", "4", "--json")
    assert done.exit_code == 0, done.stderr
    folders = json.loads(done.stdout)["studies"]
    assert sorted(os.listdir(tmp_path / "a")) == ["synthetic-5", "synthetic-6"] and len(folders) == 2
    again = magpie("synthesize", "--seed", "6", "-o", tmp_path / "b", "--spacing-mm", "4")
    assert again.stdout.strip() == str(tmp_path / "b" / "synthetic-6")
    first, second = (read_segmentation(tmp_path / side / "synthetic-6" / "seg.nii.gz") for side in "ab")
    np.testing.assert_array_equal(first.labels, second.labels)
    assert first.schema.name == "magpie" and len(find_modalities(tmp_path / "b" / "synthetic-6")) == 4


def test_a_folder_without_label_maps_is_refused(magpie, tmp_path):
    pytest.importorskip("torch")
    done = magpie("synthesize", "--anatomy", tmp_path, "-o", tmp_path / "studies")
    assert done.exit_code == 5 and str(tmp_path) in done.stderr
    assert not (tmp_path / "studies").exists()


def test_studies_that_cannot_be_written_are_told_without_a_trace(magpie, no_label_maps, tmp_path):
    (tmp_path / "file").write_text("mine")
    done = magpie("synthesize", "-o", tmp_path / "file", "--spacing-mm", "4")
    assert done.exit_code == 5 and "Check that the folder exists" in done.stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_a_study_is_not_mixed_with_images_of_another(magpie, no_label_maps, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("modalities: [FLAIR, DWI]\n")
    ask = ("synthesize", "-o", tmp_path / "studies", "--spacing-mm", "4")
    assert magpie(*ask, "--config", config).exit_code == 0
    assert magpie(*ask, "--config", config).exit_code == 0  # the same again
    written = sorted((tmp_path / "studies" / "synthetic-0").iterdir())
    done = magpie(*ask)
    assert done.exit_code == 3 and "dwi.nii.gz" in done.stderr
    assert sorted((tmp_path / "studies" / "synthetic-0").iterdir()) == written


def test_a_device_that_is_not_there_is_told(magpie, tmp_path):
    done = magpie("synthesize", "-o", tmp_path / "studies", "--device", "abacus")
    assert done.exit_code == 2 and "cuda:N" in done.stderr
    assert not (tmp_path / "studies").exists()
