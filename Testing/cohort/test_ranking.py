"""What to annotate next: uncertain studies, and some by chance."""

import math

import pytest

from magpie_core.cohort.ranking import rank_studies
from magpie_core.errors import InputError

SCORES = {f"s{n:02d}": n / 40 for n in range(40)}


def test_without_chance_the_most_uncertain_come_first():
    assert [name for name, _ in rank_studies(SCORES, random_share=0)] == sorted(SCORES, reverse=True)


def test_every_study_is_ranked_once_and_the_share_by_chance_is_kept_from_the_start():
    order = rank_studies(SCORES, random_share=0.25, seed=1)
    assert sorted(name for name, _ in order) == sorted(SCORES)
    assert [why for _, why in order[:8]].count("random") == 2
    assert (
        order
        == rank_studies(SCORES, random_share=0.25, seed=1)
        != rank_studies(SCORES, random_share=0.25, seed=2)
    )
    uncertain = [name for name, why in order if why == "uncertain"]
    assert uncertain == sorted(uncertain, reverse=True)


def test_what_cannot_be_ranked_is_refused():
    assert rank_studies({}) == []
    with pytest.raises(InputError, match="ranked"):
        rank_studies({"a": math.nan})
    with pytest.raises(InputError, match="ranked"):
        rank_studies(SCORES, random_share=2)
