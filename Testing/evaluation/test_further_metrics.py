"""Surface Dice, calibration, uncertainty and the bootstrap, against libraries and values by hand."""

import numpy as np
import pytest
import torch
from monai.metrics import compute_surface_dice

from magpie_core.evaluation.bootstrap import bootstrap_mean
from magpie_core.evaluation.surface_dice import surface_dice
from magpie_core.evaluation.uncertainty import calibration, uncertainty_curves


def _blob(seed, shape=(20, 24, 18)):
    from scipy import ndimage

    noise = np.random.default_rng(seed).random(shape)
    return ndimage.gaussian_filter(noise, 3) > 0.5


@pytest.mark.parametrize("tolerance_mm", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_surface_dice_equals_monais(seed, tolerance_mm):
    first, second = _blob(seed), _blob(seed) | (_blob(seed + 10) & (np.arange(20) < 10)[:, None, None])
    spacing = (1.0, 0.7, 2.0)
    theirs = compute_surface_dice(
        torch.from_numpy(first[None, None]).float(),
        torch.from_numpy(second[None, None]).float(),
        class_thresholds=[tolerance_mm],
        include_background=True,
        spacing=spacing,
    )
    ours = surface_dice(first, second, spacing, tolerance_mm=tolerance_mm)
    assert ours == pytest.approx(float(theirs), abs=1e-5)


def test_surface_dice_of_empty_masks():
    nothing, something = np.zeros((5, 5, 5), bool), np.ones((5, 5, 5), bool)
    assert surface_dice(nothing, nothing, (1, 1, 1)) == 1
    assert surface_dice(nothing, something, (1, 1, 1)) == surface_dice(something, nothing, (1, 1, 1)) == 0


def test_calibration_by_hand():
    probability = np.array([0.05, 0.05, 0.95, 0.95])[:, None, None]
    truth = np.array([0, 1, 1, 1])[:, None, None]
    result = calibration(probability, truth)
    assert result.error == pytest.approx((2 * abs(0.05 - 0.5) + 2 * abs(0.95 - 1.0)) / 4)
    assert result.brier == pytest.approx((0.05**2 + 0.95**2 + 2 * 0.05**2) / 4)
    assert result.count[0] == 2 and result.count[9] == 2 and sum(result.count) == 4


def test_honest_probabilities_are_calibrated_and_bold_ones_are_not():
    random = np.random.default_rng(0)
    probability = random.random((40, 40, 40))
    truth = random.random(probability.shape) < probability
    assert calibration(probability, truth).error < 0.01
    assert calibration((probability > 0.5).astype(float), truth).error > 0.2
    inside = np.zeros(truth.shape, bool)
    assert calibration(probability, truth, where=inside).error == 0


def test_uncertainty_that_marks_the_errors_scores_better_than_one_that_does_not():
    truth = _blob(0)
    prediction = _blob(1) | truth
    errors = (prediction != truth).astype(float)
    good = uncertainty_curves(prediction, truth, errors)
    none = uncertainty_curves(prediction, truth, np.zeros(truth.shape))
    bad = uncertainty_curves(prediction, truth, 1 - errors)
    assert good.score > none.score > bad.score
    assert good.dice[0] == 1 and good.true_positives_lost[0] == 0
    assert good.dice[-1] == none.dice[-1] == bad.dice[-1]


def test_the_bootstrap_interval_holds_the_mean_and_narrows_with_more_cases():
    random = np.random.default_rng(0)
    few, many = random.normal(0.1, 0.2, 10), random.normal(0.1, 0.2, 1000)
    narrow, wide = bootstrap_mean(many), bootstrap_mean(few)
    assert wide.low < wide.mean < wide.high
    assert narrow.high - narrow.low < (wide.high - wide.low) / 3
    assert bootstrap_mean(few) == bootstrap_mean(few)
    same = bootstrap_mean([0.3, 0.3, 0.3])
    assert (same.low, same.high) == pytest.approx((0.3, 0.3))
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_mean([])


def test_the_bootstrap_interval_covers_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        interval = bootstrap_mean(random.normal(0.5, 1.0, 40), draws=500)
        hits += interval.low <= 0.5 <= interval.high
    assert 0.88 < hits / 200 < 0.99
