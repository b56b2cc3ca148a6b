"""A segmentation: label map, place in the world, and label schema."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from magpie_core.errors import InputError, errors_about
from magpie_core.imaging.geometry import Geometry, checked_affine
from magpie_core.imaging.glioma import Region, Tissue
from magpie_core.imaging.label_schema import LabelSchema


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A label map.

    Attributes:
        labels: (I, J, K) uint8; every integer is in the schema.
        affine: (4, 4) float64, voxel index -> RAS mm.
        source: File it came from, for messages.

    Raises:
        InputError: If the labels are not a three-dimensional map of integers that the schema knows.
    """

    labels: np.ndarray
    affine: np.ndarray
    schema: LabelSchema
    source: str = ""

    def __post_init__(self) -> None:
        with errors_about(self.source):
            if self.labels.ndim != 3 or self.labels.dtype.kind not in "biuf":
                cause = f"it has {self.labels.ndim} dimensions of type {self.labels.dtype}"
                raise InputError("A segmentation must be three-dimensional and hold integers", cause=cause)
            self.schema.check(self.labels)
            object.__setattr__(self, "labels", self.labels.astype(np.uint8, copy=False))
            object.__setattr__(self, "affine", checked_affine(self.affine))

    @property
    def geometry(self) -> Geometry:
        """The grid."""
        return Geometry(self.labels.shape, self.affine)

    def mask(self, part: Tissue | Region) -> np.ndarray:
        """Return the voxels of a tissue or region, bool (I, J, K)."""
        return self.schema.region_mask(self.labels, part)

    def volume_ml(self, part: Tissue | Region) -> float:
        """Return the volume of a tissue or region in milliliters."""
        return int(np.count_nonzero(self.mask(part))) * self.geometry.voxel_volume_ml
