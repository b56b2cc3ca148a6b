"""The acceptance test: what it accepts, what it rejects, and its findings."""

import math

import numpy as np
import pytest

from magpie_core.errors import InputError
from magpie_core.training.finetuning.acceptance import run_acceptance_test

REGIONS = ("ET", "TC", "WT")


def _scores(count=20, *, gain=(0.0, 0.0, 0.0), spread=0.02, seed=0, start=0.75):
    """Dice by case and region; every call with the same count has the same cases underneath."""
    base = np.random.default_rng(7).normal(start, 0.1, (count, 3)).clip(0.1, 0.95)
    noise = np.random.default_rng(seed).normal(0, spread, (count, 3))
    values = (base + np.array(gain) + noise * (seed > 0)).clip(0, 1)
    return {f"case{i:02d}": dict(zip(REGIONS, row.tolist(), strict=True)) for i, row in enumerate(values)}


def test_acceptance_of_a_real_improvement_and_of_a_second_one():
    first, second, third = (_scores(gain=(g,) * 3, seed=1 + i) for i, g in enumerate((0.0, 0.04, 0.08)))
    assert run_acceptance_test(first, second).accepted
    assert run_acceptance_test(second, third).accepted
    assert not run_acceptance_test(second, first).accepted


def test_rejection_of_an_equal_model():
    accepted = sum(run_acceptance_test(_scores(seed=2 * n + 1), _scores(seed=2 * n + 2)).accepted for n in range(40))
    assert accepted <= 4


def test_rejection_of_a_region_loss_though_the_mean_improves():
    result = run_acceptance_test(_scores(seed=1), _scores(gain=(-0.05, 0.08, 0.08), seed=2))
    assert not result.accepted and result.dice_change.low > 0
    assert result.findings[0].startswith("Rejected, enhancing tumor is worse: mean Dice change -0.0")


def test_region_loss_is_accepted_up_to_a_hundredth():
    slight, worse = (_scores(gain=(loss, 0.05, 0.05)) for loss in (-0.008, -0.012))
    assert run_acceptance_test(_scores(), slight).accepted
    assert not run_acceptance_test(_scores(), worse).accepted


def test_rejection_of_forgetting_though_the_sites_cases_improve():
    forgetting = _scores(5, seed=3)
    forgetful = run_acceptance_test(
        _scores(seed=1),
        _scores(gain=(0.05,) * 3, seed=2),
        forgetting_current=forgetting,
        forgetting_candidate=_scores(5, gain=(-0.03,) * 3, seed=4),
    )
    assert not forgetful.accepted and "worse on the forgetting test set" in forgetful.findings[0]
    assert run_acceptance_test(
        _scores(seed=1),
        _scores(gain=(0.05,) * 3, seed=2),
        forgetting_current=forgetting,
        forgetting_candidate=forgetting,
    ).accepted


def test_rejection_of_low_or_non_finite_scores():
    low = {name: dict.fromkeys(rows, 0.05) for name, rows in _scores(seed=1).items()}
    assert not run_acceptance_test(_scores(seed=1), low).accepted
    broken = {name: dict(rows) for name, rows in _scores(seed=2).items()}
    broken["case03"]["ET"] = math.nan
    result = run_acceptance_test(_scores(seed=1), broken)
    assert not result.accepted and "not a number" in result.findings[0]


def test_acceptance_with_three_cases_needs_a_large_and_even_gain():
    assert run_acceptance_test(_scores(3, seed=1), _scores(3, gain=(0.1,) * 3, seed=2)).accepted
    assert not run_acceptance_test(_scores(3, seed=1), _scores(3, gain=(0.003,) * 3, spread=0.05, seed=2)).accepted


def test_findings_report_statistics_and_the_worst_case():
    candidate = {name: dict(rows) for name, rows in _scores(gain=(0.02, 0.05, 0.05), seed=2).items()}
    candidate["case07"] = dict.fromkeys(REGIONS, 0.1)
    text = " ".join(run_acceptance_test(_scores(seed=1), candidate).findings)
    assert "Worst case: case07, Dice change -0." in text and "Tumor core: mean Dice change +0.0" in text
    assert "19 better, 1 worse" in text and "95 % CI" in text and "20 cases" in text


def test_different_cases_or_regions_are_refused():
    with pytest.raises(InputError, match="same cases"):
        run_acceptance_test(_scores(4), _scores(5))
    with pytest.raises(InputError, match="same cases"):
        run_acceptance_test({}, {})
    with pytest.raises(InputError, match="forgetting test set"):
        run_acceptance_test(_scores(4), _scores(4), forgetting_current=_scores(2), forgetting_candidate=_scores(3))
