"""The gate: what it lets pass, what it refuses, and what it says."""

import math

import numpy as np
import pytest

from magpie_core.errors import InputError
from magpie_core.training.finetuning.gate import GateRules, judge

REGIONS = ("ET", "TC", "WT")


def _scores(count=20, *, gain=(0.0, 0.0, 0.0), spread=0.02, seed=0, start=0.75):
    """Dice by case and region; every call with the same count has the same cases underneath."""
    base = np.random.default_rng(7).normal(start, 0.1, (count, 3)).clip(0.1, 0.95)
    noise = np.random.default_rng(seed).normal(0, spread, (count, 3))
    values = (base + np.array(gain) + noise * (seed > 0)).clip(0, 1)
    return {f"case{i:02d}": dict(zip(REGIONS, row.tolist(), strict=True)) for i, row in enumerate(values)}


def test_a_real_improvement_passes_and_so_does_a_second_one():
    first, second, third = (_scores(gain=(g,) * 3, seed=1 + i) for i, g in enumerate((0.0, 0.04, 0.08)))
    assert judge(first, second).accepted
    assert judge(second, third).accepted
    assert not judge(second, first).accepted


def test_a_model_that_is_as_good_with_luck_on_either_side_is_refused():
    accepted = sum(judge(_scores(seed=2 * n + 1), _scores(seed=2 * n + 2)).accepted for n in range(40))
    assert accepted <= 4


def test_one_that_loses_a_region_is_refused_though_it_gains_on_average():
    verdict = judge(_scores(seed=1), _scores(gain=(-0.05, 0.08, 0.08), seed=2))
    assert not verdict.accepted and verdict.gain.low > 0
    assert verdict.sentences[0].startswith("Refused: enhancing tumor loses")


def test_one_that_forgets_is_refused_though_it_gains_on_the_sites_cases():
    sentinel = _scores(5, seed=3)
    forgetful = judge(
        _scores(seed=1),
        _scores(gain=(0.05,) * 3, seed=2),
        sentinel_current=sentinel,
        sentinel_candidate=_scores(5, gain=(-0.03,) * 3, seed=4),
    )
    assert not forgetful.accepted and "forgets" in forgetful.sentences[0]
    assert judge(
        _scores(seed=1),
        _scores(gain=(0.05,) * 3, seed=2),
        sentinel_current=sentinel,
        sentinel_candidate=sentinel,
    ).accepted


def test_one_trained_on_nonsense_or_with_broken_weights_is_refused():
    nonsense = {name: dict.fromkeys(rows, 0.05) for name, rows in _scores(seed=1).items()}
    assert not judge(_scores(seed=1), nonsense).accepted
    broken = {name: dict(rows) for name, rows in _scores(seed=2).items()}
    broken["case03"]["ET"] = math.nan
    verdict = judge(_scores(seed=1), broken)
    assert not verdict.accepted and "not a number" in verdict.sentences[0]


def test_three_cases_need_a_large_and_even_gain():
    assert judge(_scores(3, seed=1), _scores(3, gain=(0.1,) * 3, seed=2)).accepted
    assert not judge(_scores(3, seed=1), _scores(3, gain=(0.003,) * 3, spread=0.05, seed=2)).accepted


def test_the_sentences_tell_what_improved_and_what_got_worse():
    candidate = {name: dict(rows) for name, rows in _scores(gain=(0.02, 0.05, 0.05), seed=2).items()}
    candidate["case07"] = dict.fromkeys(REGIONS, 0.1)
    text = " ".join(judge(_scores(seed=1), candidate).sentences)
    assert "Worst case: case07" in text and "Tumor core: " in text and "better" in text


def test_the_rules_are_the_sites_to_tighten():
    current, candidate = _scores(seed=1), _scores(gain=(0.03,) * 3, seed=2)
    assert judge(current, candidate).accepted
    assert not judge(current, candidate, rules=GateRules(least_gain=0.05)).accepted


def test_different_cases_or_regions_cannot_be_compared():
    with pytest.raises(InputError, match="same cases"):
        judge(_scores(4), _scores(5))
    with pytest.raises(InputError, match="same cases"):
        judge({}, {})
    with pytest.raises(InputError, match="sentinel"):
        judge(_scores(4), _scores(4), sentinel_current=_scores(2), sentinel_candidate=_scores(3))
