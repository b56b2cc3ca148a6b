"""Scores lesion by lesion, after the rule of BraTS 2023."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from magpie_core.evaluation.region_metrics import WORST_HD95_MM, dice, hd95_mm

SMALLEST_MM3 = 50.0
_DILATIONS = 3
_FACES_AND_EDGES = ndimage.generate_binary_structure(3, 2)
_ALL_NEIGHBORS = ndimage.generate_binary_structure(3, 3)


@dataclass(frozen=True)
class Lesion:
    """One lesion of the truth and what was found of it.

    Attributes
    ----------
    volume_mm3
        Of the truth.
    found
        Whether any part of the prediction belongs to it.
    dice, hd95_mm
        Of the truth against all parts of the prediction that belong to it.
    center
        (3,) mean voxel index.
    """

    volume_mm3: float
    found: bool
    dice: float
    hd95_mm: float
    center: tuple[float, float, float]


@dataclass(frozen=True)
class LesionScores:
    """All lesions of a region, and what was found where none is.

    Attributes
    ----------
    lesions
        Every lesion of the truth, the largest first.
    false_positives_mm3
        Volume of each predicted part that belongs to no lesion, the largest first.
    """

    lesions: tuple[Lesion, ...]
    false_positives_mm3: tuple[float, ...]

    @property
    def counted(self) -> tuple[Lesion, ...]:
        """The lesions that the score counts: larger than 50 cubic millimeters."""
        return tuple(lesion for lesion in self.lesions if lesion.volume_mm3 > SMALLEST_MM3)

    @property
    def dice(self) -> float:
        """Mean over counted lesions and false positives (0 each); 1 if there is neither."""
        return _mean([lesion.dice for lesion in self.counted], len(self.false_positives_mm3), 0.0, 1.0)

    @property
    def hd95_mm(self) -> float:
        """Mean over counted lesions and false positives (374 mm each); 0 if there is neither."""
        return _mean([one.hd95_mm for one in self.counted], len(self.false_positives_mm3), WORST_HD95_MM, 0.0)


def lesion_wise(prediction: np.ndarray, truth: np.ndarray, spacing_mm: Sequence[float]) -> LesionScores:
    """Match the parts of a prediction to the lesions of the truth.

    The truth is dilated three times by its 18 neighbors; parts of it that share a dilated blob are one lesion. A part
    of the prediction (26 neighbors) that touches a dilated lesion belongs to it.

    Parameters
    ----------
    prediction, truth
        (I, J, K) masks of one region.
    spacing_mm
        Voxel size along I, J, K.
    """
    prediction, truth = np.asarray(prediction, bool), np.asarray(truth, bool)
    voxel_mm3 = float(np.prod(spacing_mm))
    dilated = (
        ndimage.binary_dilation(truth, _FACES_AND_EDGES, iterations=_DILATIONS) if truth.any() else truth
    )
    blobs, count = ndimage.label(dilated, _ALL_NEIGHBORS)
    parts, part_count = ndimage.label(prediction, _ALL_NEIGHBORS)
    matched: set[int] = set()
    lesions = []
    for number in range(1, count + 1):
        blob = blobs == number
        lesion = truth & blob
        touching = set(np.unique(parts[blob]).tolist()) - {0}
        matched |= touching
        found = np.isin(parts, list(touching)) if touching else np.zeros_like(truth)
        lesions.append(
            Lesion(
                volume_mm3=int(lesion.sum()) * voxel_mm3,
                found=bool(touching),
                dice=dice(found, lesion),
                hd95_mm=hd95_mm(found, lesion, spacing_mm),
                center=tuple(float(x) for x in np.argwhere(lesion).mean(axis=0)),  # type: ignore[arg-type]
            )
        )
    sizes = np.bincount(parts.ravel(), minlength=part_count + 1)
    strangers = [int(sizes[part]) * voxel_mm3 for part in range(1, part_count + 1) if part not in matched]
    return LesionScores(
        tuple(sorted(lesions, key=lambda lesion: -lesion.volume_mm3)), tuple(sorted(strangers, reverse=True))
    )


def satellite_recall(
    scores: Sequence[LesionScores], bins_mm3: Sequence[float] = (14.0, 65.0, 500.0, 4000.0)
) -> list[tuple[float, float, int, int]]:
    """Found and all lesions by volume, the largest lesion of each case left out.

    Parameters
    ----------
    bins_mm3
        Edges of the bins; the default's first bin holds balls of 3 to 5 mm diameter.

    Returns
    -------
    list
        (from, to, found, all) per bin, volumes in cubic millimeters; the last bin is open.
    """
    satellites = [lesion for score in scores for lesion in score.lesions[1:]]
    table = []
    for low, high in zip(bins_mm3, [*bins_mm3[1:], np.inf], strict=True):
        inside = [lesion for lesion in satellites if low <= lesion.volume_mm3 < high]
        table.append((float(low), float(high), sum(lesion.found for lesion in inside), len(inside)))
    return table


def _mean(values: list[float], strangers: int, worst: float, neither: float) -> float:
    count = len(values) + strangers
    return (sum(values) + worst * strangers) / count if count else neither
