"""Ranking of what to annotate next: uncertain studies, and some at random."""

import math

import pytest

from magpie_core.errors import InputError
from magpie_core.inference.uncertainty import rank_studies

SCORES = {f"s{n:02d}": n / 40 for n in range(40)}


def test_ranking_without_a_random_fraction_is_by_uncertainty():
    assert [name for name, _ in rank_studies(SCORES, random_fraction=0)] == sorted(SCORES, reverse=True)


def test_every_study_is_ranked_once_and_the_random_fraction_holds_from_the_start():
    order = rank_studies(SCORES, random_fraction=0.25, seed=1)
    assert sorted(name for name, _ in order) == sorted(SCORES)
    assert [why for _, why in order[:8]].count("random") == 2
    assert (
        order
        == rank_studies(SCORES, random_fraction=0.25, seed=1)
        != rank_studies(SCORES, random_fraction=0.25, seed=2)
    )
    uncertain = [name for name, why in order if why == "uncertain"]
    assert uncertain == sorted(uncertain, reverse=True)


def test_ranking_refuses_scores_that_are_not_finite_and_impossible_fractions():
    assert rank_studies({}) == []
    with pytest.raises(InputError, match="Cannot rank"):
        rank_studies({"a": math.nan})
    with pytest.raises(InputError, match="Cannot rank"):
        rank_studies(SCORES, random_fraction=2)
