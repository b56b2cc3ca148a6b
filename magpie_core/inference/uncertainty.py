"""Uncertainty of a prediction around the tumor, and which studies to annotate next by it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from magpie_core.errors import InputError
from magpie_core.imaging.glioma import Region
from magpie_core.inference.prediction import Prediction, RoutingCapture
from magpie_core.preprocessing.model_grid import to_native

_SHELL_MM = 3.0


def tumor_uncertainty(prediction: Prediction, capture: RoutingCapture | None = None) -> float:
    """Return the uncertainty in the whole tumor and a shell of 3 mm around it, 0 to 1.

    It is the mean of the regions' entropy (bits) and, with `capture`, of `expert_disagreement`. Without a tumor it is
    the mean entropy of the most uncertain milliliter.
    """
    probability = prediction.probabilities.astype(np.float32).clip(1e-4, 1 - 1e-4)
    entropy = -(probability * np.log2(probability) + (1 - probability) * np.log2(1 - probability)).mean(axis=0)
    tumor, geometry = prediction.segmentation.mask(Region.WT), prediction.segmentation.geometry
    if not tumor.any():
        count = max(1, round(1 / geometry.voxel_volume_ml))
        return float(np.sort(entropy, axis=None)[-count:].mean())
    near = ndimage.distance_transform_edt(~tumor, sampling=geometry.spacing_mm) <= _SHELL_MM
    uncertainty = float(entropy[near].mean())
    if capture is None or not capture.layers:
        return uncertainty
    return (uncertainty + expert_disagreement(capture, near)) / 2


def expert_disagreement(capture: RoutingCapture, where: np.ndarray) -> float:
    """Return the mean normalized entropy of the routing, 0 to 1, in the voxels `where` (I, J, K) of the native grid."""
    assert capture.grid is not None
    layers = []
    for layer, stride in zip(capture.layers, capture.strides, strict=True):
        entropy = -(layer * np.log(layer.clip(1e-20))).sum(axis=0) / np.log(max(len(layer), 2))
        fine = entropy.repeat(stride, 0).repeat(stride, 1).repeat(stride, 2)
        depth, height, width = capture.grid.brain.shape
        native = to_native(fine[None, :depth, :height, :width].astype(np.float32), capture.grid)[0]
        layers.append(float(native[where].mean()))
    return float(np.mean(layers))


def rank_studies(scores: Mapping[str, float], *, random_fraction: float = 0.25, seed: int = 0) -> list[tuple[str, str]]:
    """Rank unlabeled studies: the most uncertain first, and a fraction at random.

    Uncertainty alone would pick the unusual and the faulty.

    Args:
        scores: Uncertainty of each study, higher for more; see `tumor_uncertainty`.
        random_fraction: Fraction of ranks that are filled at random, 0 to 1.

    Returns:
        list: (study, "uncertain" or "random"), each study once.

    Raises:
        InputError: If the fraction is out of range or a score is not finite.
    """
    if not 0 <= random_fraction <= 1 or not all(map(np.isfinite, scores.values())):
        cause = "a score is not finite, or the random fraction is not in 0 to 1"
        raise InputError("Cannot rank the studies", cause=cause)
    random = np.random.default_rng(seed)
    remaining = sorted(scores, key=lambda name: (-scores[name], name))
    order: list[tuple[str, str]] = []
    drawn = 0
    while remaining:
        at_random = drawn < int(random_fraction * (len(order) + 1) + 1e-9)
        place = int(random.integers(len(remaining))) if at_random else 0
        order.append((remaining.pop(place), "random" if at_random else "uncertain"))
        drawn += at_random
    return order
