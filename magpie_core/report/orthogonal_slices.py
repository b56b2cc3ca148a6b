"""Orthogonal slices in radiological convention: axial, coronal and sagittal, the patient's right on the left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from magpie_core.imaging.reorientation import Reorientation
from magpie_core.imaging.volume import Volume

VIEWS = ("axial", "coronal", "sagittal")
_NORMAL = {"axial": 2, "coronal": 1, "sagittal": 0}
EDGE_LETTERS = {"axial": ("R", "L", "A", "P"), "coronal": ("R", "L", "S", "I"), "sagittal": ("A", "P", "S", "I")}
"""Letters at the left, right, top and bottom edge of each view."""


@dataclass(frozen=True)
class Box:
    """Bounding box in a grid, as voxel indices along R, A, S: `first` and `last` (3,), both inclusive."""

    first: tuple[int, ...]
    last: tuple[int, ...]

    @property
    def ranges(self) -> list[slice]:
        """The box as three slices."""
        return [slice(low, high + 1) for low, high in zip(self.first, self.last, strict=True)]

    @property
    def middle(self) -> dict[str, int]:
        """Index of the middle slice of each view."""
        return {view: (self.first[axis] + self.last[axis]) // 2 for view, axis in _NORMAL.items()}


class OrthogonalSlices:
    """The slices of a volume's own grid, reoriented without interpolation to the closest world axes.

    Attributes:
        affine: (4, 4) voxel index along R, A, S -> RAS mm.
        shape: Voxels along R, A, S.
        spacing_mm: (3,) voxel size along R, A, S.
        reorient: Returns a view of a native array (I, J, K) in R, A, S order.
    """

    def __init__(self, volume: Volume) -> None:
        order = Reorientation.of(volume.geometry)
        self.affine, self.shape, self.reorient = order.exact_affine, order.geometry.shape, order.apply
        self.spacing_mm: np.ndarray = np.linalg.norm(self.affine[:3, :3], axis=0)

    def extract(self, array: np.ndarray, view: str, index: int, box: Box) -> np.ndarray:
        """Return a slice (rows, columns) of a reoriented array as it is displayed, top left first."""
        ranges, normal = box.ranges, _NORMAL[view]
        ranges[normal] = slice(index, index + 1)
        return array[tuple(ranges)].squeeze(normal)[::-1, ::-1].T

    def sample(self, volume: Volume, view: str, index: int, box: Box) -> np.ndarray:
        """Return a slice (rows, columns) of another volume, resampled by world coordinates (linear, 0 outside)."""
        ranges = [np.arange(low, high + 1) for low, high in zip(box.first, box.last, strict=True)]
        ranges[_NORMAL[view]] = np.array([index])
        grid = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).squeeze(_NORMAL[view])
        to_volume = np.linalg.inv(volume.affine) @ self.affine
        points = grid @ to_volume[:3, :3].T + to_volume[:3, 3]
        # Rounding keeps a voxel center on the border of the same grid from falling outside it.
        values = map_coordinates(volume.data, np.moveaxis(points.round(6), -1, 0), output=np.float32, order=1, cval=0.0)
        return values[::-1, ::-1].T

    def size_mm(self, view: str, box: Box) -> tuple[float, float]:
        """Return width and height of the displayed slice."""
        extent = (np.subtract(box.last, box.first) + 1) * self.spacing_mm
        across, up = (axis for axis in range(3) if axis != _NORMAL[view])
        return float(extent[across]), float(extent[up])

    def voxel_of(self, ras: np.ndarray) -> np.ndarray:
        """Convert points (N, 3), RAS mm, to fractional indices of the reoriented grid."""
        to_index = np.linalg.inv(self.affine)
        return np.asarray(ras @ to_index[:3, :3].T + to_index[:3, 3])

    def on_display(self, ras: np.ndarray, view: str, box: Box) -> np.ndarray:
        """Convert points (N, 3), RAS mm, to (N, 2) mm from the left and the upper edge of the displayed slice."""
        shown = [axis for axis in range(3) if axis != _NORMAL[view]]
        # The display runs against both axes of the reoriented grid.
        across_up = np.array(box.last)[shown] + 0.5 - self.voxel_of(ras)[:, shown]
        return np.asarray(across_up * self.spacing_mm[shown])

    def index_at(self, view: str, ras: np.ndarray) -> int:
        """Return the index of the slice through a point (3,), RAS mm."""
        return int(np.rint(self.voxel_of(ras[None])[0, _NORMAL[view]]))

    def position(self, view: str, index: int) -> str:
        """Return where a slice lies, as slice viewers write it: 'S 34 mm'; empty on an oblique grid."""
        if np.diag(self.affine[:3, :3] / self.spacing_mm).min() < np.cos(np.deg2rad(1.0)):
            return ""
        axis = _NORMAL[view]
        offset = float(self.affine[axis, axis] * index + self.affine[axis, 3])
        return f"{'RAS'[axis] if offset >= 0 else 'LPI'[axis]} {abs(offset):.0f} mm"


def largest_slices(mask: np.ndarray, voxel_mm: np.ndarray) -> dict[str, int]:
    """Return for each view the index of the slice with the largest area of a (reoriented) mask.

    Areas are averaged over 5 mm, so that a single ragged slice is not chosen.
    """
    chosen = {}
    for view, axis in _NORMAL.items():
        area = mask.sum(axis=tuple(other for other in range(3) if other != axis)).astype(float)
        reach = int(2.5 / voxel_mm[axis])
        smooth = np.convolve(area, np.ones(2 * reach + 1), mode="same")
        chosen[view] = int(np.argmax(smooth))
    return chosen


def content_box(image: np.ndarray, mask: np.ndarray, voxel_mm: np.ndarray, *, margin_mm: float = 8.0) -> Box:
    """Return the box around the content of a (reoriented) image and a mask, with a margin."""
    bright = image > 0.08 * np.percentile(image[::2, ::2, ::2], 99.5)
    ends = []
    for axis, size in enumerate(image.shape):
        others = tuple(other for other in range(3) if other != axis)
        seen = np.flatnonzero((bright.mean(axis=others) > 0.003) | mask.any(axis=others))
        low, high = (int(seen[0]), int(seen[-1])) if seen.size else (0, size - 1)
        margin = int(np.ceil(margin_mm / voxel_mm[axis]))
        ends.append((max(0, low - margin), min(size - 1, high + margin)))
    first, last = zip(*ends, strict=True)
    return Box(first, last)
