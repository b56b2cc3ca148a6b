"""Surface Dice and the bootstrap, against MONAI and known values."""

import numpy as np
import pytest
import torch
from monai.metrics import compute_surface_dice

from magpie_core.evaluation.bootstrap import bootstrap_mean
from magpie_core.evaluation.region_metrics import surface_dice


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


def test_surface_dice_follows_the_rule_for_empty_masks():
    nothing, something = np.zeros((5, 5, 5), bool), np.ones((5, 5, 5), bool)
    assert surface_dice(nothing, nothing, (1, 1, 1)) == 1
    assert surface_dice(nothing, something, (1, 1, 1)) == surface_dice(something, nothing, (1, 1, 1)) == 0


def test_bootstrap_interval_contains_the_mean_and_narrows_with_more_cases():
    rng = np.random.default_rng(0)
    few, many = rng.normal(0.1, 0.2, 10), rng.normal(0.1, 0.2, 1000)
    narrow, wide = bootstrap_mean(many), bootstrap_mean(few)
    assert wide.low < wide.mean < wide.high
    assert narrow.high - narrow.low < (wide.high - wide.low) / 3
    assert bootstrap_mean(few) == bootstrap_mean(few)
    same = bootstrap_mean([0.3, 0.3, 0.3])
    assert (same.low, same.high) == pytest.approx((0.3, 0.3))
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_mean([])


def test_bootstrap_interval_has_its_nominal_coverage():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        interval = bootstrap_mean(rng.normal(0.5, 1.0, 40), draws=500)
        hits += interval.low <= 0.5 <= interval.high
    assert 0.88 < hits / 200 < 0.99
