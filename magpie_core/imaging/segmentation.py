"""A segmentation: label map, place in the world, and label schema."""

from __future__ import annotations

from dataclasses import dataclass, replace

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

    def on_grid(self, geometry: Geometry, tolerance_mm: float = 0.05) -> Segmentation | None:
        """Return the same voxels, at the same places in the world, on another grid; None if that cannot be.

        The axes may run in another order or direction, and background may be added or cut off; nothing is resampled.
        """
        to_index = np.linalg.inv(geometry.affine) @ self.affine
        exact = np.rint(to_index)
        axes = np.abs(exact[:3, :3])
        if not (np.array_equal(axes.sum(0), np.ones(3)) and np.array_equal(axes.sum(1), np.ones(3))):
            return None
        ends = np.array(np.meshgrid(*[(0, size - 1) for size in self.labels.shape], 1.0, indexing="ij")).reshape(4, -1)
        apart_mm = (geometry.affine @ (to_index - exact) @ ends)[:3]
        if np.abs(apart_mm).max() > tolerance_mm:
            return None
        order = axes.argmax(axis=1)
        labels = np.flip(self.labels.transpose(order), tuple(np.flatnonzero(exact[range(3), order] < 0).tolist()))
        start = (exact @ ends)[:3].min(axis=1).astype(int)
        both = [
            (max(at, 0), min(at + size, whole))
            for at, size, whole in zip(start, labels.shape, geometry.shape, strict=True)
        ]
        inside = labels[
            tuple(slice(low - at, max(high, low) - at) for (low, high), at in zip(both, start, strict=True))
        ]
        if np.count_nonzero(inside) != np.count_nonzero(labels):
            return None
        placed = np.zeros(geometry.shape, np.uint8)
        if inside.size:
            placed[tuple(slice(*ends) for ends in both)] = inside
        return replace(self, labels=placed, affine=geometry.affine)

    def mask(self, part: Tissue | Region) -> np.ndarray:
        """Return the voxels of a tissue or region, bool (I, J, K)."""
        return self.schema.region_mask(self.labels, part)

    def volume_ml(self, part: Tissue | Region) -> float:
        """Return the volume of a tissue or region in milliliters."""
        return int(np.count_nonzero(self.mask(part))) * self.geometry.voxel_volume_ml
