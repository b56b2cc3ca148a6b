"""A volume: one image and its place in the world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from magpie_core.errors import InputError, errors_about
from magpie_core.imaging.geometry import Geometry, checked_affine


@dataclass(frozen=True, eq=False)
class Volume:
    """An image and its place in the world.

    Attributes:
        data: (I, J, K) numbers.
        affine: (4, 4) float64, voxel index -> RAS mm.
        source: File it came from, for messages.
        warnings: What was repaired when it was read.

    Raises:
        InputError: If the data are not three-dimensional numbers, or the affine is unusable.
    """

    data: np.ndarray
    affine: np.ndarray
    source: str = ""
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        with errors_about(self.source):
            if self.data.ndim != 3 or min(self.data.shape) < 1:
                raise InputError(
                    "The image is not three-dimensional or holds no voxels",
                    cause=f"its size is {' x '.join(map(str, self.data.shape))}",
                    remedy="Give one three-dimensional image per modality",
                )
            if self.data.dtype.kind not in "biuf":
                raise InputError(
                    "The image does not hold plain gray values",
                    cause=f"its data type is {self.data.dtype}",
                    remedy="Export it as a gray-value image of integers or floats",
                )
            object.__setattr__(self, "affine", checked_affine(self.affine))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels (I, J, K)."""
        i, j, k = self.data.shape
        return i, j, k

    @property
    def geometry(self) -> Geometry:
        """The grid."""
        return Geometry(self.shape, self.affine)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along I, J, K."""
        return self.geometry.spacing_mm

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in milliliters."""
        return self.geometry.voxel_volume_ml
