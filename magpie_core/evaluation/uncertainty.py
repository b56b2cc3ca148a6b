"""Whether probabilities mean what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from magpie_core.evaluation.region_metrics import dice


@dataclass(frozen=True)
class Calibration:
    """Calibration of voxels.

    Attributes
    ----------
    error
        Expected calibration error: mean distance of confidence and frequency, weighted by voxels.
    brier
        Mean squared difference of probability and truth.
    confidence, frequency, count
        Per bin: mean probability, share that is truly inside, number of voxels.
    """

    error: float
    brier: float
    confidence: tuple[float, ...]
    frequency: tuple[float, ...]
    count: tuple[int, ...]


def calibration(
    probability: np.ndarray, truth: np.ndarray, *, where: np.ndarray | None = None, bins: int = 10
) -> Calibration:
    """Calibration of `probability` (I, J, K), 0 to 1, against the mask `truth` in the voxels `where` (all by default).

    Air around a brain is right without merit: give the brain, or the neighborhood of the tumor.
    """
    inside = np.ones(truth.shape, bool) if where is None else np.asarray(where, bool)
    chosen, real = probability[inside].astype(float), np.asarray(truth, bool)[inside]
    if not len(chosen):
        return Calibration(0.0, 0.0, (), (), ())
    which = np.minimum((chosen * bins).astype(int), bins - 1)
    count = np.bincount(which, minlength=bins)
    confidence = np.bincount(which, chosen, minlength=bins) / np.maximum(count, 1)
    frequency = np.bincount(which, real, minlength=bins) / np.maximum(count, 1)
    return Calibration(
        error=float((np.abs(confidence - frequency) * count).sum() / count.sum()),
        brier=float(np.mean((chosen - real) ** 2)),
        confidence=tuple(confidence.tolist()),
        frequency=tuple(frequency.tolist()),
        count=tuple(int(n) for n in count),
    )


@dataclass(frozen=True)
class UncertaintyCurves:
    """QU-BraTS (Mehta 2022): what happens as uncertain voxels are set aside.

    Attributes
    ----------
    thresholds
        Voxels of greater uncertainty are set aside.
    dice
        Of the rest.
    true_positives_lost, true_negatives_lost
        Share of rightly segmented voxels that were set aside.
    score
        (area under Dice + 1 - area under each loss) / 3; 1 is best.
    """

    thresholds: tuple[float, ...]
    dice: tuple[float, ...]
    true_positives_lost: tuple[float, ...]
    true_negatives_lost: tuple[float, ...]
    score: float


def uncertainty_curves(
    prediction: np.ndarray,
    truth: np.ndarray,
    uncertainty: np.ndarray,
    *,
    thresholds: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
) -> UncertaintyCurves:
    """Curves of a mask with `uncertainty` (I, J, K) in [0, 1]; `thresholds` ascend to 1, where nothing is set aside."""
    prediction, truth = np.asarray(prediction, bool), np.asarray(truth, bool)
    positive, negative = prediction & truth, ~prediction & ~truth
    rows = []
    for threshold in thresholds:
        kept = uncertainty <= threshold
        rows.append(
            (
                dice(prediction & kept, truth & kept),
                _share(positive & ~kept, positive),
                _share(negative & ~kept, negative),
            )
        )
    overlap, positives, negatives = (tuple(column) for column in zip(*rows, strict=True))
    areas = [_area(row, thresholds) for row in (overlap, positives, negatives)]
    return UncertaintyCurves(
        tuple(thresholds), overlap, positives, negatives, (areas[0] + 2 - areas[1] - areas[2]) / 3
    )


def _area(row: Sequence[float], thresholds: Sequence[float]) -> float:
    steps = np.diff(thresholds)
    middles = (np.asarray(row)[1:] + np.asarray(row)[:-1]) / 2
    return float((steps * middles).sum() / (thresholds[-1] - thresholds[0]))


def _share(part: np.ndarray, whole: np.ndarray) -> float:
    total = np.count_nonzero(whole)
    return float(np.count_nonzero(part) / total) if total else 0.0
