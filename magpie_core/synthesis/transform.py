"""What all transforms of the generator have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

Range = tuple[float, float]
Count = tuple[int, int]
MedianSigma = Annotated[tuple[float, float], "median and deviation of a normal or lognormal distribution"]


@dataclass(frozen=True, kw_only=True)
class Transform:
    """One source of variation between studies.

    A subclass holds its ranges as fields (a pair is (low, high) of a uniform draw unless documented otherwise) and
    documents their source. A configuration file overrides them by name.

    Args:
        probability: Probability of the transform; 0 switches it off.
    """

    probability: float = 1.0
