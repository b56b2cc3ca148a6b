"""What inference returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from magpie_core.imaging.glioma import Region
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.preprocessing.prepared_study import PreparedStudy


@dataclass(frozen=True)
class Prediction:
    """A segmentation and how it came about.

    Attributes:
        segmentation: On the native grid of the study's reference, schema "magpie".
        probabilities: (3, I, J, K) float16: ET, TC, WT on the same grid.
        reference: The modality whose grid it is.
        modalities_used, modalities_missing: Of those the model knows.
        warnings: In plain words, for the user.
        device, precision: Where and how the network ran.
        seconds: Time of each stage.
        model_name, model_hash, model_license: Which model it was.
        intervals_ml: Region -> the volumes between which the true one probably lies; empty where that is not known.
        suspected_swap: Which modalities look swapped, by the name each was given as; empty if none do.
        prepared: The study as the network took it, and how it got there.
    """

    segmentation: Segmentation
    probabilities: np.ndarray
    reference: Modality
    modalities_used: tuple[Modality, ...]
    modalities_missing: tuple[Modality, ...]
    warnings: tuple[str, ...]
    device: str
    precision: str
    seconds: dict[str, float]
    model_name: str
    model_hash: str
    model_license: str
    intervals_ml: dict[Region, tuple[float, float]]
    suspected_swap: dict[Modality, Modality]
    prepared: PreparedStudy
