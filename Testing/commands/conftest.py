"""A tiny model, studies on disk, and the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from magpie_core.cli import app
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.io.nifti import write_volume
from magpie_core.io.segmentation_file import write_segmentation


@pytest.fixture
def magpie(models_folder, monkeypatch) -> Callable:
    """Runs `magpie ARGUMENTS...` with the tiny model; returns the result with exit_code, stdout and stderr."""
    monkeypatch.setenv("MAGPIE_MODELS", str(models_folder))
    return lambda *arguments: CliRunner().invoke(app, [str(word) for word in arguments])


@pytest.fixture
def write_study(make_study, tmp_path) -> Callable[..., Path]:
    """Writes a phantom study as NIfTI files and returns its folder."""

    def write(name: str = "patient", *modalities) -> Path:
        study: Study = make_study(*modalities)
        folder = tmp_path / "studies" / name
        folder.mkdir(parents=True)
        for modality, volume in study.volumes.items():
            write_volume(volume, folder / f"{modality.value.lower()}.nii.gz")
        return folder

    return write


@pytest.fixture
def cases(tmp_path, make_study) -> Path:
    """Three labeled phantoms."""
    for number in range(3):
        study = make_study(patient=number)
        folder = tmp_path / "cases" / f"case{number}"
        folder.mkdir(parents=True)
        for name, volume in study.volumes.items():
            write_volume(volume, folder / f"{name.value.lower()}.nii.gz")
        volume = study.volumes[study.reference]
        labels = np.zeros(volume.shape, np.uint8)
        labels[8:14, 16:22, 10 + number : 16] = 4  # each has an outline of its own
        schema = label_schema("brats-2022")
        write_segmentation(Segmentation(labels, volume.affine, schema), folder / "seg.nii.gz")
    return tmp_path / "cases"
