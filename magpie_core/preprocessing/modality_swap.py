"""Whether images look like the modalities they are said to be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import combinations, permutations

import numpy as np
from scipy import ndimage

from magpie_core.imaging.modality import GLIOMA_MODALITIES, Modality
from magpie_core.preprocessing.model_grid import ModelGridStudy

_PERCENTILES = (0.5, 1, 5, 10, 25, 50, 75, 90, 95, 99, 99.5)
_TAILS = (0.1, 0.5, 1, 5, 10)
_DEPTHS_MM = (0, 3, 6, 12, 20, 99)
_GRID_MM = 2.0
_LEAST_VOXELS = 5000
_LEAST_GAP = 0.5

Weights = Mapping[tuple[Modality, Modality], np.ndarray]


@dataclass(frozen=True)
class ModalitySwap:
    """The images go better with their modalities if some are exchanged.

    Attributes:
        likely: What each doubtful image (by the modality it was given as) looks like.
        gap: How much better, in units of log-odds.
    """

    likely: Mapping[Modality, Modality]
    gap: float

    @property
    def sentence(self) -> str:
        """For the user; nothing is ever exchanged without being asked for."""
        if len(self.likely) == 2:
            first, second = self.likely
            return (
                f"{first.label} and {second.label} look as if they were exchanged. "
                "Please check which image is which; nothing was changed."
            )
        words = ", ".join(f"{given.label} looks like {seen.label}" for given, seen in self.likely.items())
        return f"The modalities look as if they were mixed up: {words}. Please check; nothing was changed."


def check_modality_swap(grid: ModelGridStudy, weights: Weights | None = None) -> ModalitySwap | None:
    """Compare the declared modalities with every other way to assign them.

    For each pair of modalities a linear rule, learned from synthetic studies alone, tells from histograms, their
    change with the depth below the brain's surface, and the difference of the two images which is which; the rules'
    log-odds of all pairs are added up for each assignment.

    Args:
        weights: Of the rules (`modality_swap.json` by default).

    Returns:
        ModalitySwap or None if the declared assignment is the likeliest, or there is too little to judge by.
    """
    known = [modality for modality in grid.modalities if modality in GLIOMA_MODALITIES]
    features = pair_features(grid)
    if len(known) < 2 or not features:
        return None
    rules = default_weights() if weights is None else weights
    scores = {}
    for assigned in permutations(known):
        scores[assigned] = sum(
            _odds(rules, features[one, other], assigned[known.index(one)], assigned[known.index(other)])
            for one, other in combinations(known, 2)
        )
    declared = tuple(known)
    best = max(scores, key=lambda assigned: scores[assigned])
    gap = scores[best] - scores[declared]
    if best == declared or gap < _LEAST_GAP:
        return None
    return ModalitySwap({given: seen for given, seen in zip(known, best, strict=True) if given is not seen}, float(gap))


def pair_features(grid: ModelGridStudy) -> dict[tuple[Modality, Modality], np.ndarray]:
    """What tells two images apart, for every pair of declared modalities; negated if the images are exchanged."""
    step = max(1, round(_GRID_MM / grid.spacing_mm))
    brain = _coarse(grid.brain.astype(np.float32), step) >= 0.99
    if np.count_nonzero(brain) < _LEAST_VOXELS:
        return {}
    depth_mm = ndimage.distance_transform_edt(brain)[brain] * grid.spacing_mm * step
    images: dict[Modality, tuple[np.ndarray, np.ndarray]] = {}
    for modality, image in zip(grid.modalities, grid.images, strict=True):
        if modality in GLIOMA_MODALITIES:
            values = _coarse(image, step)[brain]
            values = (values - values.mean()) / (values.std() + 1e-6)
            images[modality] = (values, _look(values, depth_mm))
    return {
        (one, other): np.concatenate(
            [images[one][1] - images[other][1], _difference(images[one][0] - images[other][0])]
        )
        for one, other in combinations(images, 2)
    }


@cache
def default_weights() -> Weights:
    """Return the rules that come with MAGPIE; `benchmarks/modality_swap.py --fit` makes them."""
    text = files("magpie_core.preprocessing").joinpath("modality_swap.json").read_text(encoding="utf-8")
    rows = json.loads(text)["rules"]
    return {(Modality(row["first"]), Modality(row["second"])): np.array(row["weights"], dtype=float) for row in rows}


def _odds(rules: Weights, features: np.ndarray, one: Modality, other: Modality) -> float:
    """Log-odds that the first image is `one` and the second `other` rather than the other way round."""
    if (one, other) in rules:
        return float(features @ rules[one, other])
    return -float(features @ rules[other, one])


def _look(values: np.ndarray, depth_mm: np.ndarray) -> np.ndarray:
    shells = []
    for low, high in zip(_DEPTHS_MM, _DEPTHS_MM[1:], strict=False):
        inside = (depth_mm > low) & (depth_mm <= high)
        shells.append(values[inside].mean() if inside.any() else 0.0)
    moments = [(values**3).mean(), (values**4).mean() / 10]
    return np.concatenate([np.percentile(values, _PERCENTILES), moments, shells])


def _difference(values: np.ndarray) -> np.ndarray:
    """Of two images: asymmetry of the tails, and skewness."""
    low = np.percentile(values, _TAILS)
    high = np.percentile(values, [100 - percent for percent in _TAILS])
    skewness = ((values - values.mean()) ** 3).mean() / (values.std() + 1e-6) ** 3
    return np.append(low + high, skewness)


def _coarse(image: np.ndarray, step: int) -> np.ndarray:
    """Means of blocks of `step` voxels a side."""
    if step == 1:
        return image
    even = image[tuple(slice(0, size - size % step) for size in image.shape)]
    depth, height, width = (size // step for size in even.shape)
    blocks: np.ndarray = even.reshape(depth, step, height, step, width, step).mean(axis=(1, 3, 5))
    return blocks
