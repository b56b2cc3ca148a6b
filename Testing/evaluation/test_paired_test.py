"""The paired tests, beside scipy's and at known error rates."""

import numpy as np
import pytest
from scipy import stats

from magpie_core.evaluation.paired_test import ERROR, LEAST_PAIRS, paired_change


@pytest.mark.parametrize("count", [6, 9, 14, 20])
def test_probability_is_that_of_scipys_tests(count):
    values = np.random.default_rng(count).normal(0.01, 0.03, count)
    flipped = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", alternative="greater", n_resamples=20_000, rng=0
    ).pvalue
    student = stats.ttest_1samp(values, 0, alternative="greater").pvalue
    change = paired_change(values)
    assert change.p == pytest.approx(max(flipped, student), abs=0.01)
    interval = stats.ttest_1samp(values, 0).confidence_interval(1 - 2 * ERROR)
    assert (change.low, change.high) == pytest.approx((interval.low, interval.high))
    assert change.mean == pytest.approx(values.mean()) and change.count == count


def test_few_pairs_never_pass_and_six_can():
    for count in range(1, LEAST_PAIRS):
        assert not paired_change([0.1 + number / 1e4 for number in range(count)]).is_improvement
    assert paired_change([0.1 + number / 1e4 for number in range(LEAST_PAIRS)]).is_improvement


def test_no_probability_is_smaller_than_the_signs_that_were_tried():
    assert paired_change([0.1 + 1e-4 * number for number in range(40)]).p >= 1 / 20_000


def test_no_change_is_no_improvement():
    for count in (1, 6, 20):
        change = paired_change([0.0] * count)
        assert change.mean == 0 and not change.is_improvement and not change.is_loss
    assert paired_change([-0.1, -0.11, -0.12]).is_loss


@pytest.mark.parametrize("count", [3, 5, 8, 20])
def test_changes_without_a_mean_gain_pass_rarely(count):
    """Beside the normal distribution one with heavy tails; 400 draws, three binomial standard errors."""
    rng = np.random.default_rng(count)
    for draw in (lambda: rng.normal(0, 0.04, count), lambda: 0.02 * rng.standard_t(2, count)):
        passed = sum(paired_change(draw()).is_improvement for _ in range(400))
        assert passed <= 400 * 0.025 + 3 * (400 * 0.025 * 0.975) ** 0.5


def test_a_gain_of_three_points_passes_with_twenty_patients():
    rng = np.random.default_rng(1)
    assert sum(paired_change(rng.normal(0.03, 0.04, 20)).is_improvement for _ in range(400)) >= 0.8 * 400


@pytest.mark.parametrize("values", [[], [0.1, float("nan")], [float("inf")]])
def test_nothing_and_what_is_no_number_are_refused(values):
    with pytest.raises(ValueError, match="finite"):
        paired_change(values)
