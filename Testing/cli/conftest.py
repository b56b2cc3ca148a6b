"""A tiny model, studies on disk, and the command line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from magpie_core.cli import app
from magpie_core.study.nifti import write_volume
from magpie_core.study.study import Study


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory, tiny_model) -> Path:
    """A folder of models with the tiny model as the default; it finds a tumour anywhere."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(tiny_model, folder / "magpie-s")
    return folder


@pytest.fixture
def magpie(models_folder, monkeypatch) -> Callable:
    """Runs `magpie ARGUMENTS...` with the tiny model; returns the result with exit_code, stdout and stderr."""
    monkeypatch.setenv("MAGPIE_MODELS", str(models_folder))
    return lambda *arguments: CliRunner().invoke(app, [str(word) for word in arguments])


@pytest.fixture
def write_study(make_study, tmp_path) -> Callable[..., Path]:
    """Writes a phantom study as NIfTI files and returns its folder."""

    def write(name: str = "patient", *sequences) -> Path:
        study: Study = make_study(*sequences)
        folder = tmp_path / "studies" / name
        folder.mkdir(parents=True)
        for sequence, volume in study.volumes.items():
            write_volume(volume, folder / f"{sequence.value.lower()}.nii.gz")
        return folder

    return write
