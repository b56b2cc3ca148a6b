"""contrast_uptake: excess of the enhancing tumor over the T1ce expected from T1."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from magpie_core.imaging.geometry import Geometry
from magpie_core.imaging.modality import Modality
from magpie_core.inference.postprocessing import contrast_uptake
from magpie_core.inference.segment import segment_study
from magpie_core.models.model import load_model
from magpie_core.preprocessing.model_grid import ModelGridStudy

SHAPE = (20, 20, 20)


def _study(brighter: float, modalities=(Modality.T1, Modality.T1CE)) -> tuple[ModelGridStudy, np.ndarray]:
    """T1ce = 2 x T1 + noise, and a lump that is brighter by so many deviations of the noise."""
    random = np.random.default_rng(0)
    plain = random.standard_normal(SHAPE).astype(np.float32)
    contrasted = 2 * plain + 0.3 * random.standard_normal(SHAPE).astype(np.float32)
    lump = np.zeros(SHAPE, bool)
    lump[5:9, 5:9, 5:9] = True
    contrasted[lump] += 0.3 * brighter
    images = np.stack([{Modality.T1: plain, Modality.T1CE: contrasted}.get(s, plain) for s in modalities])
    brain = np.ones(SHAPE, bool)
    return ModelGridStudy(images, modalities, brain, np.eye(4), Geometry(SHAPE, np.eye(4))), lump


@pytest.mark.parametrize("brighter", [0, 3, 8])
def test_contrast_uptake_is_in_standard_deviations_of_normal_tissue(brighter: int) -> None:
    study, lump = _study(brighter)
    uptake = contrast_uptake(study, lump, lump)
    assert uptake == pytest.approx(brighter + 1.28, abs=0.6)  # the 90th percentile of a lump as noisy as the rest


def test_contrast_uptake_is_small_for_a_lump_bright_on_both() -> None:
    study, lump = _study(0)
    study.images[0][lump] += 5
    study.images[1][lump] += 10
    assert contrast_uptake(study, lump, lump) < 2.5


def test_contrast_uptake_is_none_without_both_modalities_or_tumor() -> None:
    study, lump = _study(5, (Modality.T1CE, Modality.FLAIR))
    assert contrast_uptake(study, lump, lump) is None
    study, lump = _study(5)
    assert contrast_uptake(study, lump & False, lump) is None


def test_segment_study_labels_tumor_without_uptake_as_core_with_a_warning(make_study, tiny_model) -> None:
    model = load_model(tiny_model)
    study = make_study(Modality.T1, Modality.T1CE)
    before = segment_study(study, model, device="cpu", precision="fp32")
    assert (before.segmentation.labels == 3).any()
    rules = replace(model.description.postprocessing, minimum_uptake_sd=1000.0)
    strict = replace(model, description=replace(model.description, postprocessing=rules))
    after = segment_study(study, strict, device="cpu", precision="fp32")
    assert not (after.segmentation.labels == 3).any()
    assert np.array_equal(after.segmentation.labels > 0, before.segmentation.labels > 0)
    assert any("hardly brighter on the T1ce" in text for text in after.warnings)
