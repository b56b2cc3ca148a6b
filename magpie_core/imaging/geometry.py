"""Voxel grids in world coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from magpie_core.errors import InputError

_SHEAR_TOLERANCE = 1e-3  # cosine of the angle between two axes; 0.06 degrees


@dataclass(frozen=True, eq=False)
class Geometry:
    """A voxel grid in world coordinates.

    Attributes:
        shape: Voxels (I, J, K).
        affine: (4, 4) float64, voxel index -> RAS mm.

    Raises:
        InputError: If the affine is not a finite, invertible, unsheared voxel-to-world matrix.
    """

    shape: tuple[int, ...]
    affine: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))
        object.__setattr__(self, "affine", checked_affine(self.affine))
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise InputError(f"A grid needs three axes with at least one voxel each, not {self.shape}")

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along I, J, K."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000

    def corners_mm(self, *, edges: bool = False) -> np.ndarray:
        """Return the world coordinates (8, 3) of the corner voxels' centers, or of the grid's outer corners."""
        margin = 0.5 if edges else 0.0
        ranges = [(-margin, size - 1 + margin) for size in self.shape]
        index = np.array(np.meshgrid(*ranges, indexing="ij")).reshape(3, -1)
        return np.asarray((self.affine[:3, :3] @ index + self.affine[:3, 3:]).T)

    def matches(self, other: Geometry, tolerance_mm: float = 1e-3) -> bool:
        """Whether every voxel of both grids lies at the same place, index for index."""
        return self.shape == other.shape and bool(np.abs(self.corners_mm() - other.corners_mm()).max() <= tolerance_mm)


def checked_affine(affine: np.ndarray) -> np.ndarray:
    """Return a read-only float64 copy of a voxel -> RAS mm matrix (4, 4); InputError as of `Geometry`."""
    affine = np.array(affine, dtype=np.float64)
    problem = "The image's orientation matrix is not valid"
    again = "Export the image again from its source"
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise InputError(problem, cause="it is not a 4 x 4 matrix of finite numbers", remedy=again)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    directions = affine[:3, :3] / np.maximum(lengths, 1e-12)
    cosines = directions.T @ directions
    if lengths.min() < 1e-6 or abs(np.linalg.det(cosines)) < 1e-6:
        raise InputError(problem, cause="two of its axes coincide or a voxel size is zero", remedy=again)
    if np.abs(cosines - np.eye(3)).max() > _SHEAR_TOLERANCE:
        raise InputError(
            "The image is sheared",
            cause="its voxel axes are not at right angles, as after a gantry tilt or an affine registration",
            remedy="Resample it onto a grid with right angles, for example the grid of the T1ce",
        )
    affine.setflags(write=False)
    return affine
