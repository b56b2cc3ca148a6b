"""Enhancement is what is brighter on T1ce than T1 leads to expect."""

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


def grid(brighter: float, modalities=(Modality.T1, Modality.T1CE)) -> tuple[ModelGridStudy, np.ndarray]:
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
def test_it_is_measured_in_deviations_of_normal_tissue(brighter: int) -> None:
    study, lump = grid(brighter)
    uptake = contrast_uptake(study, lump, lump)
    assert uptake == pytest.approx(brighter + 1.28, abs=0.6)  # the 90th percentile of a lump as noisy as the rest


def test_a_bright_lump_on_both_has_taken_up_nothing() -> None:
    study, lump = grid(0)
    study.images[0][lump] += 5
    study.images[1][lump] += 10
    assert contrast_uptake(study, lump, lump) < 2.5


def test_without_both_modalities_or_tumor_nothing_is_said() -> None:
    study, lump = grid(5, (Modality.T1CE, Modality.FLAIR))
    assert contrast_uptake(study, lump, lump) is None
    study, lump = grid(5)
    assert contrast_uptake(study, lump & False, lump) is None


def test_what_does_not_enhance_is_core_and_the_user_is_told(make_study, tiny_model) -> None:
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
