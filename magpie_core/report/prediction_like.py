"""What a report needs to know of a result, whoever made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from magpie_core.imaging.label_schema import Region
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume


class CoregisteredLike(Protocol):
    """How a study was made ready; `inference.CoregisteredStudy` is one."""

    @property
    def study(self) -> Study:
        """The modalities in the reference's place."""

    @property
    def brain(self) -> Volume | None:
        """Mask of the brain, where it had to be found."""

    @property
    def changed(self) -> bool:
        """Whether anything had to be done."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the report."""


class PredictionLike(Protocol):
    """A segmentation and how it came about; `inference.Prediction` is one."""

    @property
    def segmentation(self) -> Segmentation:
        """Labels on the native grid of the reference."""

    @property
    def modalities_used(self) -> tuple[Modality, ...]:
        """Modalities that the network saw."""

    @property
    def modalities_missing(self) -> tuple[Modality, ...]:
        """Modalities that the network knows and did not get."""

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
    def model_license(self) -> str:
        """License of the model's weights (SPDX identifier)."""

    @property
    def intervals_ml(self) -> Mapping[Region, tuple[float, float]]:
        """Between which volumes the true one probably lies."""

    @property
    def doubt(self) -> Mapping[Modality, Modality]:
        """Which modalities look exchanged."""

    @property
    def ready(self) -> CoregisteredLike | None:
        """How the study was made ready; None if that is not known."""
