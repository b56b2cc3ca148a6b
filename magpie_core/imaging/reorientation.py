"""Reorientation to RAS: from any storage order to axes that run right, anterior, superior, and back."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from magpie_core.imaging.geometry import Geometry


@dataclass(frozen=True, eq=False)
class Reorientation:
    """Permutation and flips of a grid's axes after which they run closest to R, A, S; nothing is interpolated.

    Attributes:
        axes: For each of R, A, S the native axis that runs closest to it.
        flips: For each of R, A, S whether that axis runs against it.
        geometry: The reoriented grid (D, H, W), rounded so that all storage orders of an image give the same.
        exact_affine: (4, 4) reoriented voxel index -> RAS mm, not rounded.
    """

    axes: tuple[int, ...]
    flips: tuple[bool, ...]
    geometry: Geometry
    exact_affine: np.ndarray

    @classmethod
    def of(cls, native: Geometry) -> Reorientation:
        """Return the reorientation of a grid."""
        directions = native.affine[:3, :3] / np.linalg.norm(native.affine[:3, :3], axis=0)
        # Rounding lets ties (axes at 45 degrees) fall the same way for all storage orders as far as possible.
        cosines = np.round(np.abs(directions), 6)
        axes = max(permutations(range(3)), key=lambda axes: cosines[range(3), axes].sum())
        flips = tuple(bool(against) for against in directions[range(3), axes] < 0)
        affine = np.eye(4)
        affine[:3, 3] = native.affine[:3, 3]
        for world, (axis, flip) in enumerate(zip(axes, flips, strict=True)):
            column = native.affine[:3, axis]
            affine[:3, world] = -column if flip else column
            if flip:
                affine[:3, 3] += (native.shape[axis] - 1) * column
        shape = tuple(native.shape[axis] for axis in axes)
        return cls(axes, flips, Geometry(shape, _rounded(affine, shape)), affine)

    def apply(self, data: np.ndarray) -> np.ndarray:
        """Return a view of native data (I, J, K) as (D, H, W)."""
        view = data.transpose(self.axes)
        return view[tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)]

    @property
    def affine(self) -> np.ndarray:
        """Voxel (D, H, W) -> RAS mm."""
        return self.geometry.affine

    @property
    def aligned(self) -> bool:
        """Whether the grid's axes are those of the world, to a hundredth of a voxel."""
        matrix = self.affine[:3, :3]
        off = np.abs(matrix - np.diag(np.diag(matrix))) * np.array(self.geometry.shape)
        return bool(off.sum(axis=1).max() < 0.01 * np.abs(np.diag(matrix)).min())


def _rounded(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the affine with its columns and the place of the grid's middle rounded."""
    middle = (np.array(shape) - 1) / 2
    rounded = np.eye(4)
    rounded[:3, :3] = np.round(affine[:3, :3], 6)
    rounded[:3, 3] = np.round(affine[:3, :3] @ middle + affine[:3, 3], 3) - rounded[:3, :3] @ middle
    return rounded
