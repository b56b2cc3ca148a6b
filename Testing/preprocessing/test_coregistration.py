"""A study as the scanner made it becomes what the network takes; one that is ready stays as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import affine_transform

from magpie_core.errors import InputError
from magpie_core.evaluation.region_metrics import dice
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.inference.segment import segment_study
from magpie_core.models.model import load_model
from magpie_core.preprocessing.coregistration import coregister

T1, T1CE, T2, FLAIR = Modality.T1, Modality.T1CE, Modality.T2, Modality.FLAIR


@pytest.fixture(scope="module")
def raw(anatomy_folder: Path):
    """A synthetic whole head whose FLAIR was imaged after a movement; its brain; and the motion."""
    from magpie_core.synthesis.anatomy import Anatomy
    from magpie_core.synthesis.config import GeneratorConfig
    from magpie_core.synthesis.generator import GliomaGenerator

    generator = GliomaGenerator(
        Anatomy.from_folder(anatomy_folder),
        recipe=GeneratorConfig.default().without("misregistration", "tissue-contrast"),
        spacing_mm=2.0,
        shape=(96, 112, 96),
        whole_head=True,
    )
    (made,) = generator.sample(11)
    volumes = dict(made.to_study().volumes)
    del volumes[T2]
    motion = np.eye(4)
    angle = np.radians(10)
    motion[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    motion[:3, 3] = (7, -5, 4)
    flair = volumes[FLAIR]
    to_source = np.linalg.inv(flair.affine) @ motion @ flair.affine
    moved = affine_transform(flair.data, to_source[:3, :3], to_source[:3, 3], order=1)
    volumes[FLAIR] = Volume(moved, flair.affine, "flair")
    return Study(volumes, "raw"), Volume(made.brain, made.affine), motion


def test_a_study_that_is_ready_is_left_alone(make_study) -> None:
    study = make_study(T1CE, FLAIR)
    ready = coregister(study)
    assert ready.study is study and ready.brain is None and not ready.changed


@pytest.fixture(scope="module")
def seen(raw, tiny_model):
    """What segmenting it gives, and the progress that was told."""
    told: list[float] = []
    prediction = segment_study(
        raw[0],
        load_model(tiny_model),
        device="cpu",
        threads=1,
        progress=lambda share, stage: told.append(share),
    )
    return prediction, told


def test_modalities_are_aligned_and_the_brain_is_found(raw, seen) -> None:
    study, brain, motion = raw
    prediction, told = seen
    ready = prediction.ready
    index = np.argwhere(brain.data)[::501].T
    points = np.linalg.inv(motion) @ brain.affine @ np.vstack([index, np.ones(index.shape[1])])
    off = ((ready.registrations[FLAIR].matrix - motion) @ points)[:3]
    assert np.linalg.norm(off, axis=0).mean() < 1.5
    assert ready.registrations[T1].shift_mm < 2.0
    assert np.array_equal(ready.study.volumes[FLAIR].data, study.volumes[FLAIR].data)  # nothing is resampled
    placed = np.linalg.inv(brain.affine) @ ready.brain.affine
    truth = affine_transform(
        brain.data.astype(np.float32), placed[:3, :3], placed[:3, 3], output_shape=ready.brain.shape, order=1
    )
    assert dice(ready.brain.data, truth >= 0.5) > 0.93
    assert any("FLAIR by" in text for text in prediction.warnings)
    assert any("whole head" in text for text in prediction.warnings)
    assert told == sorted(told)


def test_the_result_lies_on_the_raw_reference(raw, seen) -> None:
    study, prediction = raw[0], seen[0]
    assert prediction.segmentation.geometry.matches(study.volumes[T1CE].geometry)
    record = prediction.ready.as_dict()
    assert record["aligned"]["FLAIR"]["rotation_deg"] == pytest.approx(10, abs=1)
    assert 900 < record["brain_ml"] < 2300


def test_what_cannot_be_aligned_is_refused_by_name(raw) -> None:
    study, _, _ = raw
    noise = np.random.default_rng(0).uniform(0, 900, study.volumes[T1].shape).astype(np.float32)
    bad = {T1CE: study.volumes[T1CE], T2: Volume(noise, study.volumes[T1].affine, "noise.nii.gz")}
    with pytest.raises(InputError, match="T2 could not be aligned with the T1ce"):
        coregister(Study(bad, "a"), threads=1)


def test_brains_on_other_grids_stay_where_they_lie_without_a_clear_gain(make_volume) -> None:
    one, other = (make_volume((84, 96, 72), seed=seed) for seed in (0, 1))
    half = Volume(
        other.data[:, :, 4:],
        other.affine @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 4], [0, 0, 0, 1]]),
    )
    ready = coregister(Study({T1CE: one, FLAIR: half}, "a"), threads=1)
    assert ready.study.volumes[FLAIR] is half and ready.brain is None


def test_a_real_head(cases_folder: Path) -> None:
    from magpie_core.io.discovery import read_study

    folder = cases_folder / "raw" / "open_ms_patient01"
    study = read_study(
        {
            s: folder / f"study2_{s.value}.nii.gz".replace("T1.", "T1W.").replace("T2.", "T2W.")
            for s in (T1, T2, FLAIR)
        }
    )
    ready = coregister(study, threads=1)
    brain_ml = np.count_nonzero(ready.brain.data) * ready.brain.voxel_volume_ml
    assert 1000 < brain_ml < 1800
    reference = study.volumes[T1]
    placed = np.linalg.inv(reference.affine) @ ready.brain.affine
    index = np.argwhere(ready.brain.data)[::101]
    at = np.round(index @ placed[:3, :3].T + placed[:3, 3]).astype(int)
    inside = ((at >= 0) & (at < reference.shape)).all(axis=1)
    bright = reference.data[tuple(at[inside].T)] > 0.05 * np.percentile(reference.data, 99)
    assert inside.mean() > 0.95 and bright.mean() > 0.98
