"""How little enhancing tumour is to be believed, learned from predictions that were made out of fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean

SIZES_ML = (0.0, 0.3, 0.5, 1.0)
"""To choose from. More would hide a nodule that matters."""


@dataclass(frozen=True)
class Enhancement:
    """Enhancing tumour of one case: millilitres that were found, Dice, and whether there is any in truth."""

    found_ml: float
    dice: float
    real: bool

    def dice_above(self, smallest_ml: float) -> float:
        """Dice if less than `smallest_ml` is called none (BraTS rule: 1 if that is right, 0 if not)."""
        if self.found_ml >= smallest_ml:
            return self.dice
        return 0.0 if self.real else 1.0


def smallest_enhancement_ml(cases: Mapping[str, Enhancement], present_ml: float) -> float:
    """The size with the best mean Dice; the present one unless another is better.

    Sizes below the present one cannot be judged, since the predictions were made with it.
    """
    sizes = [present_ml, *(size for size in SIZES_ML if size > present_ml)]
    return max(sizes, key=lambda size: (mean(case.dice_above(size) for case in cases.values()), -size))


def honest_sizes_ml(cases: Mapping[str, Enhancement], present_ml: float) -> dict[str, float]:
    """For each case the size that the other cases choose, so that no case judges a rule it helped to choose."""
    if len(cases) < 2:
        return dict.fromkeys(cases, present_ml)
    return {
        name: smallest_enhancement_ml({key: case for key, case in cases.items() if key != name}, present_ml)
        for name in cases
    }
