"""What all effects of the generator have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

Range = tuple[float, float]
Count = tuple[int, int]
Law = Annotated[tuple[float, float], "middle and deviation of a distribution"]


@dataclass(frozen=True, kw_only=True)
class Transform:
    """One thing that makes studies differ.

    A subclass names the effect, carries its ranges as fields (a pair is (low, high) of a uniform draw unless its
    documentation says otherwise) and says in its documentation where they come from. A recipe overrides them by name.

    Parameters
    ----------
    probability
        How often the effect takes place at all; 0 switches it off.
    """

    probability: float = 1.0
