"""The figure of the preprocessing."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread

from magpie_core.imaging.modality import Modality
from magpie_core.imaging.volume import Volume
from magpie_core.preprocessing.prepared_study import PreparedStudy
from magpie_core.preprocessing.registration import Registration
from magpie_core.report.preprocessing_figure import draw_preprocessing
from magpie_core.report.write import build_report, write_results

ORANGE, BLUE = np.array([1.0, 0.69, 0.0]), np.array([0.25, 0.77, 1.0])


@pytest.fixture
def brain(study) -> Volume:
    reference = study.volumes[study.reference]
    return Volume(reference.data > 50, reference.affine)


def _has(picture: np.ndarray, color: np.ndarray) -> bool:
    return bool((np.abs(picture[..., :3] - color).max(axis=-1) < 0.15).sum() > 50)


@pytest.fixture
def registrations() -> dict[Modality, Registration]:
    """Return the registration of the FLAIR: moved by 3.2 mm."""
    matrix = np.eye(4)
    matrix[0, 3] = 3.21
    return {Modality.FLAIR: Registration(matrix, similarity=0.5, sharpness=0.5, gain=0.5, agreement_mm=0.0)}


def test_brain_and_reference_are_outlined(study, brain, registrations, tmp_path) -> None:
    draw_preprocessing(PreparedStudy(study, brain, registrations), tmp_path / "a.png")
    draw_preprocessing(PreparedStudy(study), tmp_path / "b.png")
    with_brain, without = imread(tmp_path / "a.png"), imread(tmp_path / "b.png")
    assert _has(with_brain, ORANGE) and _has(with_brain, BLUE)
    assert not _has(without, ORANGE) and _has(without, BLUE)


def test_the_figure_is_written_only_for_a_study_that_was_changed(
    study, prediction, brain, registrations, tmp_path
) -> None:
    changed = replace(prediction, prepared=PreparedStudy(study, brain, registrations))
    paths = write_results(build_report(study, changed), changed, tmp_path / "raw")
    assert paths["preparation"].read_bytes().startswith(b"\x89PNG")
    preparation = json.loads(paths["report"].read_text())["preparation"]
    brain_ml = np.count_nonzero(brain.data) * brain.voxel_volume_ml
    assert preparation["aligned"]["FLAIR"]["shift_mm"] == 3.21
    assert preparation["brain_ml"] == pytest.approx(brain_ml, abs=0.1)
    paths = write_results(build_report(study, prediction), prediction, tmp_path / "unchanged")
    assert "preparation" not in paths and not (tmp_path / "unchanged" / "preparation.png").exists()
    assert json.loads(paths["report"].read_text())["preparation"] is None
