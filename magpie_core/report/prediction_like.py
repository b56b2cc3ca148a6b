"""What a report needs to know of a result, whoever made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from magpie_core.study.segmentation import Segmentation
from magpie_core.study.sequence import Sequence


class PredictionLike(Protocol):
    """A segmentation and how it came about; `inference.Prediction` is one."""

    @property
    def segmentation(self) -> Segmentation:
        """Labels on the native grid of the reference."""

    @property
    def sequences_used(self) -> tuple[Sequence, ...]:
        """Sequences that the network saw."""

    @property
    def sequences_missing(self) -> tuple[Sequence, ...]:
        """Sequences that the network knows and did not get."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Where the result should not be trusted, in plain words."""

    @property
    def device(self) -> str:
        """Where it was computed."""

    @property
    def precision(self) -> str:
        """Arithmetic it was computed in."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """Wall time of each stage."""

    @property
    def model_name(self) -> str:
        """Name and version of the model."""

    @property
    def model_hash(self) -> str:
        """SHA-256 that identifies the model's folder."""

    @property
    def model_licence(self) -> str:
        """Licence of the model's weights (SPDX identifier)."""
