"""The acceptance test: what it accepts, what it rejects, and its findings."""

import math

import numpy as np
import pytest

from magpie_core.errors import InputError
from magpie_core.training.finetuning.acceptance import Verdict, run_acceptance_test as _run

REGIONS = ("ET", "TC", "WT")


def _scores(count=20, *, gain=(0.0, 0.0, 0.0), spread=0.02, seed=0, start=0.75):
    """Dice by case and region; every call with the same count has the same cases underneath."""
    base = np.random.default_rng(7).normal(start, 0.1, (count, 3)).clip(0.1, 0.95)
    noise = np.random.default_rng(seed).normal(0, spread, (count, 3))
    values = (base + np.array(gain) + noise * (seed > 0)).clip(0, 1)
    return {f"case{i:02d}": dict(zip(REGIONS, row.tolist(), strict=True)) for i, row in enumerate(values)}


def run_acceptance_test(current, candidate, **options):
    """Run it with a patient for each case."""
    return _run(current, candidate, **({"patients": {name: name for name in current}} | options))


def test_acceptance_of_a_real_improvement_and_of_a_second_one():
    first, second, third = (_scores(gain=(g,) * 3, seed=1 + i) for i, g in enumerate((0.0, 0.04, 0.08)))
    assert run_acceptance_test(first, second).accepted
    assert run_acceptance_test(second, third).accepted
    assert run_acceptance_test(second, first).verdict is Verdict.WORSE


def test_rejection_of_an_equal_model():
    accepted = sum(run_acceptance_test(_scores(seed=2 * n + 1), _scores(seed=2 * n + 2)).accepted for n in range(40))
    assert accepted <= 4


@pytest.mark.parametrize("count", [3, 5, 8, 20])
def test_candidates_that_are_no_better_pass_rarely(count):
    """400 draws with a part that all regions of a case share; no more than 2.5 % and the error of the count."""
    rng = np.random.default_rng(count)
    current = {f"c{i}": dict.fromkeys(REGIONS, 0.8) for i in range(count)}
    passed = 0
    for _ in range(400):
        changes = rng.normal(0, 0.004, (count, 3)) + rng.normal(0, 0.004, (count, 1))
        rows = (0.8 + changes).tolist()
        candidate = {f"c{i}": dict(zip(REGIONS, row, strict=True)) for i, row in enumerate(rows)}
        passed += run_acceptance_test(current, candidate).accepted
    assert passed <= 400 * 0.025 + 3 * (400 * 0.025 * 0.975) ** 0.5
    assert count >= 6 or not passed


def test_a_copy_is_no_improvement():
    better = run_acceptance_test(_scores(seed=1), _scores(gain=(0.05,) * 3, seed=2), is_copy=True)
    assert better.verdict is Verdict.UNCHANGED and not better.accepted
    same = run_acceptance_test(_scores(seed=1), _scores(seed=1))
    assert same.verdict is Verdict.CANNOT_TELL and same.dice_change.mean == 0


def test_rejection_of_a_region_loss_though_the_mean_improves():
    result = run_acceptance_test(_scores(seed=1), _scores(gain=(-0.05, 0.08, 0.08), seed=2))
    assert not result.accepted and result.dice_change.low > 0
    assert result.findings[0].startswith("Worse, enhancing tumor is worse (-0.0")


def test_region_loss_is_accepted_up_to_a_hundredth():
    slight, worse = (_scores(gain=(loss, 0.05, 0.05)) for loss in (-0.008, -0.012))
    assert run_acceptance_test(_scores(), slight).accepted
    assert not run_acceptance_test(_scores(), worse).accepted


def test_rejection_of_forgetting_though_the_sites_cases_improve():
    forgetting = _scores(5, seed=3)
    better = _scores(gain=(0.05,) * 3, seed=2)
    worse = _scores(5, gain=(-0.03,) * 3, seed=4)
    result = run_acceptance_test(_scores(seed=1), better, forgetting_current=forgetting, forgetting_candidate=worse)
    assert result.verdict is Verdict.WORSE and "the forgetting test set is worse" in result.findings[0]
    kept = {"forgetting_current": forgetting, "forgetting_candidate": forgetting}
    assert run_acceptance_test(_scores(seed=1), better, **kept).accepted


def test_rejection_of_low_or_non_finite_scores():
    low = {name: dict.fromkeys(rows, 0.05) for name, rows in _scores(seed=1).items()}
    assert run_acceptance_test(_scores(seed=1), low).verdict is Verdict.WORSE
    broken = {name: dict(rows) for name, rows in _scores(seed=2).items()}
    broken["case03"]["ET"] = math.nan
    result = run_acceptance_test(_scores(seed=1), broken)
    assert not result.accepted and "not a number" in result.findings[0]


def test_few_patients_cannot_tell_and_many_visits_of_them_no_more():
    before, after = _scores(20, seed=1), _scores(20, gain=(0.1,) * 3, seed=2)
    patients = {name: str(index % 4) for index, name in enumerate(before)}
    result = run_acceptance_test(before, after, patients=patients)
    assert result.verdict is Verdict.CANNOT_TELL and result.dice_change.count == 4
    assert result.findings[0].startswith("Cannot tell, 4 patients are too few (at least 6)")
    assert run_acceptance_test(before, after).accepted
    nothing = run_acceptance_test({}, {})
    assert nothing.verdict is Verdict.CANNOT_TELL and "Add cases of other patients" in nothing.findings[0]
    assert run_acceptance_test(_scores(1), _scores(1, gain=(0.1,) * 3)).verdict is Verdict.CANNOT_TELL


def test_findings_report_before_and_after_and_the_cases_that_got_worse():
    before = _scores(seed=1)
    candidate = {name: dict(rows) for name, rows in _scores(gain=(0.02, 0.05, 0.05), seed=2).items()}
    candidate["case07"] = dict.fromkeys(REGIONS, 0.1)
    text = " ".join(run_acceptance_test(before, candidate, names={"case07": "4711"}).findings)
    assert "1 worse by more than 0.005: 4711 (-0." in text and "19 got better" in text
    mean = np.mean([rows["TC"] for rows in before.values()])
    assert f"Tumor core: Dice {mean:.3f} before" in text and "96 % CI" in text and "20 patients" in text


def test_cases_that_got_worse_are_named_worst_first():
    before = {f"c{number}": dict.fromkeys(REGIONS, 0.8) for number in range(8)}
    losses = {"c1": 0.02, "c2": 0.3, "c4": 0.1}
    after = {case: dict.fromkeys(REGIONS, 0.8 - losses.get(case, 0.0)) for case in before}
    findings = " ".join(run_acceptance_test(before, after).findings)
    assert "c2 (-0.300), c4 (-0.100), c1 (-0.020)" in findings


def test_a_loss_that_is_certain_is_worse_however_small():
    before = {f"c{number}": dict.fromkeys(REGIONS, 0.8) for number in range(10)}
    after = {case: dict.fromkeys(REGIONS, 0.795 + 0.0002 * number) for number, case in enumerate(before)}
    result = run_acceptance_test(before, after)
    assert result.dice_change.high < 0 and result.verdict is Verdict.WORSE


def test_a_change_of_nothing_is_not_negative():
    current = {f"c{i}": dict.fromkeys(REGIONS, 0.8) for i in range(8)}
    candidate = {name: dict.fromkeys(REGIONS, 0.79999) for name in current}
    assert "-0.000" not in " ".join(run_acceptance_test(current, candidate).findings)


def test_different_cases_or_regions_are_refused():
    with pytest.raises(InputError, match="same cases"):
        run_acceptance_test(_scores(4), _scores(5))
    with pytest.raises(InputError, match="forgetting test set"):
        run_acceptance_test(_scores(4), _scores(4), forgetting_current=_scores(2), forgetting_candidate=_scores(3))
