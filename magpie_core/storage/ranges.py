"""The values that a number may have: declared once, for the command line, the worker and Python alike."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

from magpie_core.errors import InputError


@dataclass(frozen=True)
class Range:
    """Numbers from `least` to `most`, both included; never NaN. Stands in the annotation of a dataclass's field."""

    least: float
    most: float

    def __contains__(self, value: float) -> bool:
        return self.least <= value <= self.most

    def __str__(self) -> str:
        return f"a number from {self.least:.10g} to {self.most:.10g}"


SEED = Range(0, 2**32 - 1)
FRACTION = Range(0.0, 1.0)
MINUTES = Range(0.01, 1e6)
SPACING_MM = Range(0.5, 4.0)
VOXELS = Range(1, 4096)
STEPS = Range(0, 10**9)
FOLDS = Range(2, 1000)
COUNT = Range(0, 10**9)


def check_ranges(values: Any) -> None:
    """Check the numbers of a dataclass against the ranges in its annotations; None and tuples of numbers are allowed.

    Raises:
        InputError: If one is outside; it names the field as the command line does.
    """
    hints = get_type_hints(type(values), include_extras=True)
    for name in (item.name for item in fields(values)):
        allowed = range_of(hints[name])
        value = getattr(values, name)
        for number in value if isinstance(value, tuple) else (value,):
            if allowed is not None and number is not None and (math.isnan(number) or number not in allowed):
                raise InputError(f"Cannot use {number} for {name.replace('_', ' ')}", remedy=f"Give {allowed}")


def range_of(hint: Any) -> Range | None:
    """Return the range in an annotation; None without one."""
    return next((item for item in getattr(hint, "__metadata__", ()) if isinstance(item, Range)), None)
