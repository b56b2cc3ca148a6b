"""RANO diameters of a lesion: in an axial slice, the longest and the longest perpendicular to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from magpie_core.imaging.background import bounding_box
from magpie_core.imaging.geometry import Geometry
from magpie_core.imaging.reorientation import Reorientation


@dataclass(frozen=True)
class Diameters:
    """The two diameters in the slice where their product is largest; ends are RAS mm.

    Attributes:
        longest_ends_mm, perpendicular_ends_mm: (2, 3) each.
    """

    longest_mm: float
    perpendicular_mm: float
    longest_ends_mm: np.ndarray
    perpendicular_ends_mm: np.ndarray

    @property
    def product_mm2(self) -> float:
        """The bidimensional product."""
        return self.longest_mm * self.perpendicular_mm


def diameters(mask: np.ndarray, geometry: Geometry) -> Diameters | None:
    """Measure the largest component of a mask (I, J, K) bool, in the slices of its grid that lie closest to axial.

    Returns None if the mask is empty.
    """
    box = bounding_box(mask)
    if box is None:
        return None
    parts, _ = ndimage.label(mask[box])
    largest = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    affine = geometry.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [part.start for part in box]
    axis = Reorientation.of(geometry).axes[2]
    across = tuple(other for other in range(3) if other != axis)
    best: Diameters | None = None
    areas = np.count_nonzero(largest, axis=across)
    for index in np.argsort(-areas, kind="stable"):
        # A slice of less than a third of the largest area cannot have the largest product.
        if best is not None and areas[index] < areas.max() / 3:
            break
        flat = np.take(largest, index, axis=axis)
        found = _in_slice(flat, int(index), axis, across, affine, best.product_mm2 if best else 0.0)
        if found is not None and (best is None or found.product_mm2 > best.product_mm2):
            best = found
    return best


def _in_slice(
    flat: np.ndarray, index: int, axis: int, across: tuple[int, ...], affine: np.ndarray, least_mm2: float
) -> Diameters | None:
    """Return the diameters of one slice; None if their product cannot exceed `least_mm2`."""
    outline = np.argwhere(flat & ~ndimage.binary_erosion(flat))
    # The outline runs half a voxel beyond the outer centers; through the voxels' corners it would be too long.
    rim = np.array([(0.5, 0.0), (-0.5, 0.0), (0.0, 0.5), (0.0, -0.5)])
    points = (outline[:, None] + rim[None]).reshape(-1, 2)
    voxels = np.empty((len(points), 3))
    voxels[:, across], voxels[:, axis] = points, index
    world = voxels @ affine[:3, :3].T + affine[:3, 3]
    # Coordinates within the slice, in mm.
    middle = world.mean(axis=0)
    basis = np.linalg.svd(world - middle, full_matrices=False)[2][:2]
    inside = (world - middle) @ basis.T
    try:
        hull = ConvexHull(inside).vertices
    except QhullError:
        return None
    corners, ends = inside[hull], world[hull]
    apart = corners[:, None] - corners[None]
    lengths = np.linalg.norm(apart, axis=-1)
    first, second = np.unravel_index(int(lengths.argmax()), lengths.shape)
    direction = apart[first, second] / lengths[first, second]
    if lengths[first, second] * np.ptp(corners @ [-direction[1], direction[0]]) <= least_mm2:
        return None
    chord = _perpendicular(corners, direction)
    return Diameters(
        float(lengths[first, second]),
        float(np.linalg.norm(chord[0] - chord[1])),
        np.stack([ends[first], ends[second]]),
        chord @ basis + middle,
    )


def _perpendicular(corners: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Return the ends (2, 2) of the longest chord of a convex polygon at a right angle to `direction`."""
    normal = np.array([-direction[1], direction[0]])
    along, height = corners @ direction, corners @ normal
    run, rise = np.roll(along, -1) - along, np.roll(height, -1) - height
    # The length of a chord is piecewise linear between corners: a corner starts the longest one.
    places = np.unique(along)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        fraction = (places - along) / run  # of each edge, where a perpendicular cuts it
        crossed = (np.abs(run) > 1e-9) & (fraction > -1e-9) & (fraction < 1 + 1e-9)
        crossings = np.where(crossed, height + fraction * rise, np.nan)
    low, high = np.nanmin(crossings, axis=1), np.nanmax(crossings, axis=1)
    best = int(np.argmax(high - low))
    return np.stack([places[best] * direction + end * normal for end in (low[best], high[best])])
