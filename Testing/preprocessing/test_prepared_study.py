"""A raw study is co-registered and its brain extracted; one that is prepared already stays as it is."""

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
from magpie_core.preprocessing.prepared_study import prepare_study

T1, T1CE, T2, FLAIR = Modality.T1, Modality.T1CE, Modality.T2, Modality.FLAIR


@pytest.fixture(scope="module")
def raw(anatomy_folder: Path, without_transforms):
    """A synthetic whole head whose FLAIR was imaged after a movement; its brain; and the motion."""
    from magpie_core.synthesis.anatomy import Anatomy
    from magpie_core.synthesis.config import GeneratorConfig
    from magpie_core.synthesis.generator import GliomaGenerator

    generator = GliomaGenerator(
        Anatomy.find(anatomy_folder),
        config=without_transforms(GeneratorConfig.default(), "misregistration", "tissue_contrast"),
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


def test_prepare_study_leaves_a_prepared_study_alone(make_study) -> None:
    study = make_study(T1CE, FLAIR)
    prepared = prepare_study(study)
    assert prepared.study is study and prepared.brain is None and not prepared.changed


@pytest.fixture(scope="module")
def segmented(raw, tiny_model):
    """What segmenting it gives, and the progress that was reported."""
    fractions: list[float] = []
    prediction = segment_study(
        raw[0],
        load_model(tiny_model),
        device="cpu",
        threads=1,
        progress=lambda fraction, stage: fractions.append(fraction),
    )
    return prediction, fractions


def test_prepare_study_coregisters_the_modalities_and_extracts_the_brain(raw, segmented) -> None:
    study, brain, motion = raw
    prediction, fractions = segmented
    prepared = prediction.prepared
    index = np.argwhere(brain.data)[::501].T
    points = np.linalg.inv(motion) @ brain.affine @ np.vstack([index, np.ones(index.shape[1])])
    off = ((prepared.registrations[FLAIR].matrix - motion) @ points)[:3]
    assert np.linalg.norm(off, axis=0).mean() < 1.5
    assert prepared.registrations[T1].shift_mm < 2.0
    assert np.array_equal(prepared.study.volumes[FLAIR].data, study.volumes[FLAIR].data)  # nothing is resampled
    placed = np.linalg.inv(brain.affine) @ prepared.brain.affine
    expected = affine_transform(
        brain.data.astype(np.float32), placed[:3, :3], placed[:3, 3], output_shape=prepared.brain.shape, order=1
    )
    assert dice(prepared.brain.data, expected >= 0.5) > 0.93
    assert any("FLAIR by" in text for text in prediction.warnings)
    assert any("whole head" in text for text in prediction.warnings)
    assert fractions == sorted(fractions)


def test_segmentation_lies_on_the_raw_reference(raw, segmented) -> None:
    study, prediction = raw[0], segmented[0]
    assert prediction.segmentation.geometry.matches(study.volumes[T1CE].geometry)
    record = prediction.prepared.as_dict()
    assert record["aligned"]["FLAIR"]["rotation_deg"] == pytest.approx(10, abs=1)
    assert 900 < record["brain_ml"] < 2300


def test_prepare_study_names_a_modality_that_cannot_be_coregistered(raw) -> None:
    study, _, _ = raw
    noise = np.random.default_rng(0).uniform(0, 900, study.volumes[T1].shape).astype(np.float32)
    bad = {T1CE: study.volumes[T1CE], T2: Volume(noise, study.volumes[T1].affine, "noise.nii.gz")}
    with pytest.raises(InputError, match="T2 could not be co-registered to the T1ce"):
        prepare_study(Study(bad, "a"), threads=1)


def test_prepare_study_keeps_brains_on_other_grids_in_place_without_a_clear_gain(make_volume) -> None:
    one, other = (make_volume((84, 96, 72), seed=seed) for seed in (0, 1))
    half = Volume(
        other.data[:, :, 4:], other.affine @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 4], [0, 0, 0, 1]])
    )
    prepared = prepare_study(Study({T1CE: one, FLAIR: half}, "a"), threads=1)
    assert prepared.study.volumes[FLAIR] is half and prepared.brain is None


def test_prepare_study_extracts_the_brain_of_a_real_head(cases_folder: Path) -> None:
    from magpie_core.io.discovery import read_study

    folder = cases_folder / "raw" / "open_ms_patient01"
    study = read_study(
        {s: folder / f"study2_{s.value}.nii.gz".replace("T1.", "T1W.").replace("T2.", "T2W.") for s in (T1, T2, FLAIR)}
    )
    prepared = prepare_study(study, threads=1)
    brain_ml = np.count_nonzero(prepared.brain.data) * prepared.brain.voxel_volume_ml
    assert 1000 < brain_ml < 1800
    reference = study.volumes[T1]
    placed = np.linalg.inv(reference.affine) @ prepared.brain.affine
    index = np.argwhere(prepared.brain.data)[::101]
    at = np.round(index @ placed[:3, :3].T + placed[:3, 3]).astype(int)
    inside = ((at >= 0) & (at < reference.shape)).all(axis=1)
    bright = reference.data[tuple(at[inside].T)] > 0.05 * np.percentile(reference.data, 99)
    assert inside.mean() > 0.95 and bright.mean() > 0.98
