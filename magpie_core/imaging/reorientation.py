"""Axis order: from any storage order to axes that run right, anterior, superior, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from magpie_core.imaging.geometry import Geometry


@dataclass(frozen=True, eq=False)
class Reordering:
    """How the axes of a grid are permuted and flipped so that they run closest to R, A, S.

    Attributes
    ----------
    axes
        For each of R, A, S the native axis that runs closest to it.
    flips
        For each of R, A, S whether that axis runs against it.
    geometry
        The reordered grid (D, H, W), rounded so that all storage orders of an image give the same.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    geometry: Geometry

    @classmethod
    def of(cls, native: Geometry) -> Reordering:
        """The reordering of a grid."""
        directions = native.affine[:3, :3] / np.linalg.norm(native.affine[:3, :3], axis=0)
        axes = _closest(directions)
        flips = tuple(bool(directions[world, axis] < 0) for world, axis in enumerate(axes))
        affine = np.eye(4)
        affine[:3, 3] = native.affine[:3, 3]
        for world, (axis, flip) in enumerate(zip(axes, flips, strict=True)):
            column = native.affine[:3, axis]
            affine[:3, world] = -column if flip else column
            if flip:
                affine[:3, 3] += (native.shape[axis] - 1) * column
        shape = tuple(native.shape[axis] for axis in axes)
        return cls(axes, flips, Geometry(shape, _rounded(affine, shape)))  # type: ignore[arg-type]

    def apply(self, data: np.ndarray) -> np.ndarray:
        """A view of native data (I, J, K) as (D, H, W)."""
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


def _closest(directions: np.ndarray) -> tuple[int, int, int]:
    """The permutation of axes with the largest sum of |cosines|, and so the least rotation."""
    from itertools import permutations

    # Rounding lets ties (axes at 45 degrees) fall the same way for all storage orders as far as possible.
    size = np.round(np.abs(directions), 6)
    return max(
        permutations(range(3)), key=lambda axes: sum(size[world, axis] for world, axis in enumerate(axes))
    )  # type: ignore[return-value]


def _rounded(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The affine with its grid's middle and its columns rounded."""
    middle = (np.array(shape) - 1) / 2
    matrix = np.round(affine[:3, :3], 6)
    place = np.round(affine[:3, :3] @ middle + affine[:3, 3], 3)
    rounded = np.eye(4)
    rounded[:3, :3] = matrix
    rounded[:3, 3] = place - matrix @ middle
    return rounded
