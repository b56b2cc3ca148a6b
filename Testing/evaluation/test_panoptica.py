"""Comparison with panoptica, which needs an older numpy than Slicer has: runs where it is installed."""

import numpy as np
import pytest

from magpie_core.evaluation.lesion_wise import lesion_wise
from magpie_core.evaluation.region_metrics import dice, hd95_mm

pytest.importorskip("panoptica", reason="panoptica is not installed; it needs numpy < 2.3")


def _ball(shape, center, radius):
    grid = np.stack(np.meshgrid(*[np.arange(size) for size in shape], indexing="ij"))
    return ((grid - np.array(center)[:, None, None, None]) ** 2).sum(axis=0) <= radius**2


@pytest.fixture
def pair():
    """Three lesions far apart, one of them missed, and one false positive."""
    shape = (64, 64, 64)
    reference = _ball(shape, (14, 14, 14), 8) | _ball(shape, (46, 46, 14), 6) | _ball(shape, (14, 46, 46), 5)
    found = _ball(shape, (15, 15, 14), 8) | _ball(shape, (46, 45, 15), 5) | _ball(shape, (50, 14, 50), 4)
    return found, reference


def _evaluate(found, reference):
    from panoptica import (
        ConnectedComponentsInstanceApproximator,
        InputType,
        NaiveThresholdMatching,
        Panoptica_Evaluator,
    )
    from panoptica.metrics import Metric

    evaluator = Panoptica_Evaluator(
        expected_input=InputType.SEMANTIC,
        instance_approximator=ConnectedComponentsInstanceApproximator(),
        instance_matcher=NaiveThresholdMatching(matching_threshold=0.1),
        instance_metrics=[Metric.DSC, Metric.HD95],
        global_metrics=[Metric.DSC],
    )
    outcome = evaluator.evaluate(found.astype(np.uint8), reference.astype(np.uint8), verbose=False)
    return next(iter(outcome.values()))


def test_lesion_wise_counts_equal_panopticas(pair):
    theirs, ours = _evaluate(*pair), lesion_wise(*pair, (1, 1, 1))
    assert sum(lesion.found for lesion in ours.lesions) == theirs.tp == 2
    assert sum(not lesion.found for lesion in ours.lesions) == theirs.fn == 1
    assert len(ours.false_positives_mm3) == theirs.fp == 1


def test_lesion_wise_scores_equal_panopticas(pair):
    theirs, ours = _evaluate(*pair), lesion_wise(*pair, (1, 1, 1))
    found = [lesion for lesion in ours.lesions if lesion.found]
    assert np.mean([lesion.dice for lesion in found]) == pytest.approx(theirs.sq_dsc, abs=1e-6)
    assert np.mean([lesion.hd95_mm for lesion in found]) == pytest.approx(theirs.sq_hd95, abs=1.0)
    assert dice(*pair) == pytest.approx(theirs.global_bin_dsc, abs=1e-6)
    assert hd95_mm(*pair, (1, 1, 1)) > 0
