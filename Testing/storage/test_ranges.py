"""Ranges of numbers: declared at a field, checked wherever it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

from magpie_core.app.finetune import FinetuneRequest
from magpie_core.app.rank import RankRequest
from magpie_core.app.requests import build_request
from magpie_core.app.segment import SegmentRequest
from magpie_core.errors import InputError
from magpie_core.storage.ranges import Range, check_ranges


@dataclass
class Numbers:
    one: Annotated[float | None, "Text.", Range(0.5, 2)] = 1.0
    several: Annotated[tuple[int, ...], Range(1, 3)] = (1, 3)
    free: float = math.nan


@pytest.mark.parametrize("values", [{}, {"one": None}, {"one": 0.5}, {"one": 2}, {"several": ()}])
def test_numbers_inside_are_taken(values):
    check_ranges(Numbers(**values))


@pytest.mark.parametrize("values", [{"one": 0.4}, {"one": math.nan}, {"one": math.inf}, {"several": (1, 4)}])
def test_numbers_outside_are_refused_with_the_range(values):
    with pytest.raises(InputError, match=r"(one|several)\. Give a number from [\d.]+ to \d"):
        check_ranges(Numbers(**values))


@pytest.mark.parametrize(
    "values",
    [{"patience": -3}, {"minutes": math.nan}, {"minutes": 0.0}, {"folds": 1}, {"steps": -1}, {"seed": 2**64}]
    + [{"synthetic_studies": -1}, {"threads": -1}, {"interpolation": 1.5}, {"minutes": math.inf}],
)
def test_requests_from_python_and_from_the_worker_are_checked_too(values):
    plain = {"cohort": "c", "run": "r", **values}
    for make in (lambda: FinetuneRequest(cohort=Path("c"), run=Path("r"), **values), lambda: _built(plain)):
        with pytest.raises(InputError, match="Give a number from"):
            make()


def _built(plain):
    return build_request(FinetuneRequest, **plain)


def test_other_requests_are_checked():
    with pytest.raises(InputError):
        SegmentRequest(images=Path("x"), threads=0)
    with pytest.raises(InputError):
        RankRequest(studies=Path("x"), random_fraction=math.nan)
