"""Lesion-wise scores by the rule of BraTS 2023."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from magpie_core.evaluation.region_metrics import WORST_HD95_MM, dice, hd95_mm

MINIMUM_MM3 = 50.0
_BINS_MM3 = (14.0, 65.0, 500.0, 4000.0, np.inf)  # the first holds spheres of 3 to 5 mm diameter
_DILATIONS = 3
_FACES_AND_EDGES = ndimage.generate_binary_structure(3, 2)
_ALL_NEIGHBORS = ndimage.generate_binary_structure(3, 3)


@dataclass(frozen=True)
class Lesion:
    """One lesion of the reference standard, and its match.

    Attributes:
        found: Whether a component of the prediction matches it.
        dice, hd95_mm: Scores of all components that match it.
    """

    volume_mm3: float
    found: bool
    dice: float
    hd95_mm: float


@dataclass(frozen=True)
class LesionScores:
    """Lesions of a region, and false positives.

    Attributes:
        lesions: Lesions of the reference standard, the largest first.
        false_positives_mm3: Volume of each predicted component that matches no lesion, the largest first.
    """

    lesions: tuple[Lesion, ...]
    false_positives_mm3: tuple[float, ...]

    @property
    def scored(self) -> tuple[Lesion, ...]:
        """Lesions that enter the scores: larger than 50 mm^3."""
        return tuple(lesion for lesion in self.lesions if lesion.volume_mm3 > MINIMUM_MM3)

    @property
    def dice(self) -> float:
        """Mean over scored lesions and false positives (0 each); 1 if there is neither."""
        return _mean([lesion.dice for lesion in self.scored], len(self.false_positives_mm3), 0.0, 1.0)

    @property
    def hd95_mm(self) -> float:
        """Mean over scored lesions and false positives (374 mm each); 0 if there is neither."""
        return _mean([one.hd95_mm for one in self.scored], len(self.false_positives_mm3), WORST_HD95_MM, 0.0)


def lesion_wise(prediction: np.ndarray, reference: np.ndarray, spacing_mm: Sequence[float]) -> LesionScores:
    """Match the components of a predicted mask to the lesions of a reference mask, both (I, J, K) of one region.

    The reference is dilated three times (18 neighbors); what a component of the dilated mask contains is one lesion. A
    component of the prediction (26 neighbors) that touches a dilated lesion matches it. `spacing_mm` is the voxel size
    along I, J, K.
    """
    prediction, reference = np.asarray(prediction, bool), np.asarray(reference, bool)
    voxel_mm3 = float(np.prod(spacing_mm))
    dilated = ndimage.binary_dilation(reference, _FACES_AND_EDGES, iterations=_DILATIONS)
    blobs, count = ndimage.label(dilated, _ALL_NEIGHBORS)
    components, component_count = ndimage.label(prediction, _ALL_NEIGHBORS)
    matched: set[int] = set()
    lesions = []
    for number in range(1, count + 1):
        blob = blobs == number
        lesion = reference & blob
        touching = set(np.unique(components[blob]).tolist()) - {0}
        matched |= touching
        found = np.isin(components, list(touching))
        lesions.append(
            Lesion(
                volume_mm3=int(lesion.sum()) * voxel_mm3,
                found=bool(touching),
                dice=dice(found, lesion),
                hd95_mm=hd95_mm(found, lesion, spacing_mm),
            )
        )
    sizes = np.bincount(components.ravel(), minlength=component_count + 1)
    unmatched = set(range(1, component_count + 1)) - matched
    return LesionScores(
        tuple(sorted(lesions, key=lambda lesion: -lesion.volume_mm3)),
        tuple(sorted((int(sizes[number]) * voxel_mm3 for number in unmatched), reverse=True)),
    )


def satellite_recall(scores: Sequence[LesionScores]) -> list[tuple[float, float, int, int]]:
    """Count found and all lesions by volume, without the largest lesion of each case.

    Returns:
        list: (from, to, found, all) per bin, volumes in mm^3; the last bin is open.
    """
    satellites = [lesion for score in scores for lesion in score.lesions[1:]]
    table = []
    for low, high in itertools.pairwise(_BINS_MM3):
        inside = [lesion for lesion in satellites if low <= lesion.volume_mm3 < high]
        table.append((low, high, sum(lesion.found for lesion in inside), len(inside)))
    return table


def _mean(values: list[float], false_positives: int, worst: float, neither: float) -> float:
    count = len(values) + false_positives
    return (sum(values) + worst * false_positives) / count if count else neither
