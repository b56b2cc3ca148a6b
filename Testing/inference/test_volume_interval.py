"""volume_intervals: volumes above the two thresholds, and the volume of the segmentation inside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from magpie_core.imaging.glioma import Region
from magpie_core.imaging.modality import Modality
from magpie_core.inference.postprocessing import volume_intervals
from magpie_core.inference.segment import segment_study
from magpie_core.models.description import Postprocessing
from magpie_core.models.model import load_model
from magpie_core.report.milliliters import format_interval

RULES = Postprocessing(interval_thresholds=dict.fromkeys(("ET", "TC", "WT"), (0.8, 0.2)))


def test_volume_intervals_are_the_volumes_above_the_two_thresholds() -> None:
    probabilities = np.zeros((3, 10, 10, 10), np.float32)
    probabilities[:, :2] = 0.9
    probabilities[:, 2:5] = 0.5
    probabilities[:, 5:6] = 0.1
    found = dict.fromkeys(Region, 0.3)
    intervals = volume_intervals(probabilities, RULES, found, voxel_volume_ml=0.001)
    assert intervals == {region: (pytest.approx(0.2), pytest.approx(0.5)) for region in intervals}
    assert set(intervals) == {Region.ET, Region.TC, Region.WT}


def test_volume_intervals_contain_the_segmentation_and_need_thresholds() -> None:
    nothing = np.zeros((3, 4, 4, 4), np.float32)
    found = dict.fromkeys(Region, 1.5)
    assert volume_intervals(nothing, RULES, found, voxel_volume_ml=0.001)[Region.ET] == (0.0, 1.5)
    assert volume_intervals(nothing, Postprocessing(), found, voxel_volume_ml=0.001) == {}
    some = Postprocessing(interval_thresholds={"WT": (0.8, 0.2)})
    assert set(volume_intervals(nothing, some, found, voxel_volume_ml=0.001)) == {Region.WT}


def test_segment_study_gives_intervals_only_with_all_modalities(make_study, tiny_model) -> None:
    model = load_model(tiny_model)
    rules = replace(model.description.postprocessing, interval_thresholds=RULES.interval_thresholds)
    model = replace(model, description=replace(model.description, postprocessing=rules))
    whole = segment_study(make_study(), model, device="cpu", precision="fp32")
    low, high = whole.intervals_ml[Region.WT]
    assert low <= whole.segmentation.volume_ml(Region.WT) <= high
    part = segment_study(make_study(Modality.T1CE), model, device="cpu", precision="fp32")
    assert part.intervals_ml == {}


@pytest.mark.parametrize(
    ("ends", "words"), [((10.2, 14.0), "10.2 to 14.0 ml"), ((0.0, 1.2), "up to 1.2 ml"), ((0.0, 0.0), "")]
)
def test_format_interval(ends: tuple[float, float], words: str) -> None:
    assert format_interval(*ends) == words
