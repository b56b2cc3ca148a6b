"""Results of inference: the prediction, and the routing of its tokens to experts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from magpie_core.imaging.glioma import Region
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.preprocessing.modality_check import ModalityDoubt
from magpie_core.preprocessing.model_grid import ModelGridStudy
from magpie_core.preprocessing.prepared_study import PreparedStudy


@dataclass(frozen=True)
class Prediction:
    """A segmentation and its provenance.

    Attributes:
        segmentation: On the native grid of the study's reference, schema "magpie".
        probabilities: (3, I, J, K) float16: ET, TC, WT on the same grid.
        reference: The modality whose grid it is.
        modalities_used, modalities_missing: Of those the model takes.
        warnings: In plain words, for the user.
        intervals_ml: Interval of the volume by region; empty if unknown.
        doubts: Of images that do not look like the modality they were given as.
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
    doubts: tuple[ModalityDoubt, ...]
    prepared: PreparedStudy

    @property
    def suspected_swap(self) -> dict[Modality, Modality]:
        """Likely modality by the name each was given as, of those that look swapped with each other."""
        return {doubt.given: doubt.looks_like for doubt in self.doubts if doubt.exchanged and doubt.looks_like}


@dataclass
class RoutingCapture:
    """Routing of a study's tokens; filled by `segment_study`, whose result it does not change.

    Attributes:
        layers: For each mixture of experts (E, d, h, w) float32: probability of each expert at each token, blended over
            patches and flips as the logits are.
        strides: Voxels of the model grid per token, along each axis, of each layer.
        names: Place of each layer in the network, such as "decoder, stage 1".
    """

    layers: list[np.ndarray] = field(default_factory=list)
    strides: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    grid: ModelGridStudy | None = None
