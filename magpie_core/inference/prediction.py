"""What inference returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from magpie_core.imaging.label_schema import Region
from magpie_core.imaging.modality import Sequence
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.preprocessing.coregistration import ReadyStudy


@dataclass(frozen=True)
class Prediction:
    """A segmentation and how it came about.

    Attributes
    ----------
    segmentation
        On the native grid of the study's reference, schema "magpie".
    probabilities
        (3, I, J, K) float16: ET, TC, WT on the same grid.
    reference
        The sequence whose grid it is.
    sequences_used, sequences_missing
        Of those the model knows.
    warnings
        In plain words, for the user.
    device, precision
        Where and how the network ran.
    seconds
        Time of each stage.
    model_name, model_hash, model_licence
        Which model it was.
    intervals_ml
        Region -> the volumes between which the true one probably lies; empty where that is not known.
    doubt
        Which sequences look exchanged, by the name each was given as; empty if none do.
    ready
        The study as the network took it, and how it got there.
    """

    segmentation: Segmentation
    probabilities: np.ndarray
    reference: Sequence
    sequences_used: tuple[Sequence, ...]
    sequences_missing: tuple[Sequence, ...]
    warnings: tuple[str, ...]
    device: str
    precision: str
    seconds: dict[str, float]
    model_name: str
    model_hash: str
    model_licence: str
    intervals_ml: dict[Region, tuple[float, float]]
    doubt: dict[Sequence, Sequence]
    ready: ReadyStudy
