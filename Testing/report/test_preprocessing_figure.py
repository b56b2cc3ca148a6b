"""The picture of how a study was made ready."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.report.preprocessing_figure import draw_preprocessing
from magpie_core.report.write import write_results

ORANGE, BLUE = np.array([1.0, 0.69, 0.0]), np.array([0.25, 0.77, 1.0])


@dataclass(frozen=True)
class Ready:
    """What inference knows of the preparation."""

    study: Study
    brain: Volume | None
    changed: bool = True
    record: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {"aligned": {"FLAIR": {"shift_mm": 3.21, "rotation_deg": 1.0}}, "brain_ml": 30.0}


@pytest.fixture
def brain(study) -> Volume:
    reference = study.volumes[study.reference]
    return Volume(reference.data > 50, reference.affine)


def _has(picture: np.ndarray, color: np.ndarray) -> bool:
    return bool((np.abs(picture[..., :3] - color).max(axis=-1) < 0.15).sum() > 50)


def test_the_brain_and_the_reference_are_outlined(study, brain, tmp_path) -> None:
    draw_preprocessing(study, brain, {"FLAIR": "moved by 3.2 mm"}, tmp_path / "a.png")
    draw_preprocessing(study, None, {}, tmp_path / "b.png")
    with_brain, without = imread(tmp_path / "a.png"), imread(tmp_path / "b.png")
    assert _has(with_brain, ORANGE) and _has(with_brain, BLUE)
    assert not _has(without, ORANGE) and _has(without, BLUE)


def test_it_is_written_only_where_something_was_done(study, prediction, brain, tmp_path) -> None:
    paths = write_results(
        study, replace(prediction, ready=Ready(study, brain)), tmp_path / "raw", picture=False
    )
    assert paths["preparation"].read_bytes().startswith(b"\x89PNG")
    assert "3.2" in paths["report"].read_text() and '"brain_ml": 30.0' in paths["report"].read_text()
    ready = Ready(study, None, changed=False)
    paths = write_results(study, replace(prediction, ready=ready), tmp_path / "prepared", picture=False)
    assert "preparation" not in paths and not (tmp_path / "prepared" / "preparation.png").exists()
    assert '"preparation": null' in paths["report"].read_text()
