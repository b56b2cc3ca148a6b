"""Slices as a radiologist looks at them: axial, coronal and sagittal, the patient's right on the left."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from scipy.ndimage import map_coordinates

from magpie_core.imaging.volume import Volume

VIEWS = ("axial", "coronal", "sagittal")
_NORMAL = {"axial": 2, "coronal": 1, "sagittal": 0}
_EDGES = {"axial": ("R", "L", "A", "P"), "coronal": ("R", "L", "S", "I"), "sagittal": ("A", "P", "S", "I")}


@dataclass(frozen=True)
class Box:
    """Part of a grid, as voxel indices of its R, A, S axes: `first` (3,) inclusive, `last` (3,) inclusive."""

    first: tuple[int, int, int]
    last: tuple[int, int, int]


@dataclass(frozen=True)
class OrthogonalSlices:
    """A grid turned to R, A, S order without interpolation, and what is needed to cut it.

    Attributes
    ----------
    affine
        (4, 4) voxel of the turned grid -> RAS mm.
    shape
        Voxels along R, A, S.
    """

    affine: np.ndarray
    shape: tuple[int, int, int]
    axes: tuple[int, int, int]
    signs: tuple[int, int, int]

    @staticmethod
    def of(volume: Volume) -> OrthogonalSlices:
        """The planes of a volume's own grid, each axis named after the world axis nearest to it."""
        axes, signs = _nearest_axes(volume.affine)
        turn = np.zeros((4, 4))
        turn[3, 3] = 1.0
        for world, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
            turn[axis, world] = sign
            turn[axis, 3] = 0 if sign > 0 else volume.shape[axis] - 1
        shape = tuple(int(volume.shape[axis]) for axis in axes)
        return OrthogonalSlices(volume.affine @ turn, (shape[0], shape[1], shape[2]), axes, signs)

    @property
    def spacing_mm(self) -> np.ndarray:
        """(3,) voxel size along R, A, S."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def is_oblique(self) -> bool:
        """Whether the grid is turned by more than about one degree against the world axes."""
        directions = self.affine[:3, :3] / self.spacing_mm
        return bool(np.diag(directions).min() < np.cos(np.deg2rad(1.0)))

    def turn(self, array: np.ndarray) -> np.ndarray:
        """View of a native array (I, J, K) in R, A, S order."""
        return np.transpose(array, self.axes)[tuple(slice(None, None, sign) for sign in self.signs)]

    def cut(self, array: np.ndarray, view: str, index: int, box: Box) -> np.ndarray:
        """(rows, columns) of a turned array as it is displayed, top left first."""
        window = [slice(low, high + 1) for low, high in zip(box.first, box.last, strict=True)]
        normal = _NORMAL[view]
        window[normal] = slice(index, index + 1)
        return array[tuple(window)].squeeze(normal)[::-1, ::-1].T

    def sample(self, volume: Volume, view: str, index: int, box: Box) -> np.ndarray:
        """(rows, columns) of another volume on this plane, by world coordinates, 0 outside (linear)."""
        ranges = [np.arange(low, high + 1) for low, high in zip(box.first, box.last, strict=True)]
        ranges[_NORMAL[view]] = np.array([index])
        grid = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).squeeze(_NORMAL[view])
        to_volume = np.linalg.inv(volume.affine) @ self.affine
        points = grid @ to_volume[:3, :3].T + to_volume[:3, 3]
        # Rounding keeps a voxel center on the border of the same grid from falling outside it.
        values = map_coordinates(
            volume.data, np.moveaxis(points.round(6), -1, 0), output=np.float32, order=1, cval=0.0
        )
        return values[::-1, ::-1].T

    def size_mm(self, view: str, box: Box) -> tuple[float, float]:
        """Width and height of the displayed plane."""
        extent = (np.subtract(box.last, box.first) + 1) * self.spacing_mm
        across, up = (axis for axis in range(3) if axis != _NORMAL[view])
        return float(extent[across]), float(extent[up])

    def index_of(self, ras: np.ndarray) -> np.ndarray:
        """Places (N, 3) in the world, RAS mm, as indices of the turned grid."""
        to_index = np.linalg.inv(self.affine)
        index: np.ndarray = ras @ to_index[:3, :3].T + to_index[:3, 3]
        return index

    def on_display(self, ras: np.ndarray, view: str, box: Box) -> np.ndarray:
        """Places (N, 3) in the world as (N, 2) mm from the left and the upper edge of the displayed plane."""
        shown = [axis for axis in range(3) if axis != _NORMAL[view]]
        # The display runs against both axes of the turned grid.
        across_up = np.array(box.last)[shown] + 0.5 - self.index_of(ras)[:, shown]
        placed: np.ndarray = across_up * self.spacing_mm[shown]
        return placed

    def plane_of(self, view: str, ras: np.ndarray) -> int:
        """Index of the plane that a place (3,) in the world lies in."""
        return int(np.rint(self.index_of(ras[None])[0, _NORMAL[view]]))

    def position(self, view: str, index: int) -> str:
        """Where the plane lies, in the words of a slice viewer: 'S 34 mm'; empty on an oblique grid."""
        if self.is_oblique:
            return ""
        axis = _NORMAL[view]
        offset = float(self.affine[axis, axis] * index + self.affine[axis, 3])
        return f"{'RAS'[axis] if offset >= 0 else 'LPI'[axis]} {abs(offset):.0f} mm"


def edge_letters(view: str) -> tuple[str, str, str, str]:
    """Letters at the left, right, top and bottom edge of a view."""
    return _EDGES[view]


def largest_slices(mask: np.ndarray, voxel_mm: np.ndarray) -> dict[str, int]:
    """Index of the plane with the largest area of a (turned) mask, for each view.

    Neighboring planes within 5 mm count too, so that a single ragged slice does not win.
    """
    chosen = {}
    for view, axis in _NORMAL.items():
        area = mask.sum(axis=tuple(other for other in range(3) if other != axis)).astype(float)
        reach = int(2.5 / voxel_mm[axis])
        smooth = np.convolve(area, np.ones(2 * reach + 1), mode="same")
        chosen[view] = int(np.argmax(smooth))
    return chosen


def content_box(image: np.ndarray, mask: np.ndarray, voxel_mm: np.ndarray, *, margin_mm: float = 8.0) -> Box:
    """The part of a (turned) image that shows something, the mask included, with a margin."""
    step = tuple(slice(None, None, 2) for _ in range(3))
    bright = image > 0.08 * np.percentile(image[step], 99.5)
    first, last = [], []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        seen = np.flatnonzero((bright.mean(axis=others) > 0.003) | mask.any(axis=others))
        low, high = (int(seen[0]), int(seen[-1])) if seen.size else (0, image.shape[axis] - 1)
        margin = int(np.ceil(margin_mm / voxel_mm[axis]))
        first.append(max(0, low - margin))
        last.append(min(image.shape[axis] - 1, high + margin))
    return Box((first[0], first[1], first[2]), (last[0], last[1], last[2]))


def _nearest_axes(affine: np.ndarray) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """For R, A and S: the voxel axis nearest to it, and its direction."""
    orientation = nib.io_orientation(affine)
    axes, signs = [0, 0, 0], [1, 1, 1]
    for axis, (world, sign) in enumerate(orientation):
        axes[int(world)], signs[int(world)] = axis, int(sign)
    return (axes[0], axes[1], axes[2]), (signs[0], signs[1], signs[2])
