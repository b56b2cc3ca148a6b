"""RANO diameters of a lesion: in an axial slice, the longest and the longest perpendicular to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from magpie_core.imaging.geometry import Geometry
from magpie_core.imaging.reorientation import Reorientation


@dataclass(frozen=True)
class Diameters:
    """The two diameters in the slice where their product is largest; ends are RAS mm.

    Attributes:
        longest_mm, perpendicular_mm: Lengths.
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
    found_at = ndimage.find_objects(mask.astype(np.uint8))
    if not found_at:
        return None
    box = found_at[0]
    parts, _ = ndimage.label(mask[box])
    largest = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    affine = geometry.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [part.start for part in box]
    axis = Reorientation.of(geometry).axes[2]
    across = [other for other in range(3) if other != axis]
    best: Diameters | None = None
    slices = np.flatnonzero(largest.any(axis=tuple(across)))
    areas = [np.count_nonzero(np.take(largest, index, axis=axis)) for index in slices]
    for index, area in sorted(zip(slices, areas, strict=True), key=lambda item: -item[1]):
        # A slice of less than a third of the largest area cannot have the largest product.
        if best is not None and area < max(areas) / 3:
            break
        found = _in_slice(
            np.take(largest, index, axis=axis),
            int(index),
            axis,
            across,
            affine,
            0.0 if best is None else best.product_mm2,
        )
        if found is not None and (best is None or found.product_mm2 > best.product_mm2):
            best = found
    return best


def _in_slice(
    flat: np.ndarray, index: int, axis: int, across: list[int], affine: np.ndarray, least_mm2: float
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
    basis = np.linalg.svd(world - world.mean(axis=0), full_matrices=False)[2][:2]
    inside = (world - world.mean(axis=0)) @ basis.T
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
    # The longest chord at a right angle: between the two hull lines where they are cut by perpendiculars.
    chord = _perpendicular(corners, direction)
    if chord is None:
        return None
    middle = world.mean(axis=0)
    return Diameters(
        float(lengths[first, second]),
        float(np.linalg.norm(chord[0] - chord[1])),
        np.stack([ends[first], ends[second]]),
        chord @ basis + middle,
    )


def _perpendicular(corners: np.ndarray, direction: np.ndarray) -> np.ndarray | None:
    """Return the ends (2, 2) of the longest chord of a convex polygon at a right angle to `direction`."""
    normal = np.array([-direction[1], direction[0]])
    along, height = corners @ direction, corners @ normal
    best: np.ndarray | None = None
    longest = 0.0
    # The length of a chord is piecewise linear between corners: a corner starts the longest one.
    for place in np.unique(along):
        crossings = []
        for index in range(len(corners)):
            other = (index + 1) % len(corners)
            low, high = along[index], along[other]
            if min(low, high) - 1e-9 <= place <= max(low, high) + 1e-9:
                fraction = 0.5 if abs(high - low) < 1e-9 else (place - low) / (high - low)
                if abs(high - low) < 1e-9:
                    crossings += [height[index], height[other]]
                else:
                    crossings.append(height[index] + fraction * (height[other] - height[index]))
        if crossings and max(crossings) - min(crossings) > longest:
            longest = max(crossings) - min(crossings)
            best = np.stack([place * direction + min(crossings) * normal, place * direction + max(crossings) * normal])
    return best
