"""A study on the network's grid, and fields brought back from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from magpie_core.errors import InputError
from magpie_core.imaging.background import bounding_box, content_mask
from magpie_core.imaging.geometry import Geometry
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.reorientation import Reorientation
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.preprocessing.intensities import scale_intensities
from magpie_core.preprocessing.mask_cleanup import main_parts
from magpie_core.preprocessing.resampling import resample, resample_reordered

_MARGIN = 1  # voxels around the brain
_EXACT = 0.01  # voxels; what a box reaches beyond a voxel's center by less needs no further voxel
_SMALLEST_BRAIN_ML = 0.5


@dataclass(frozen=True, eq=False)
class ModelGridStudy:
    """A study on a grid whose axes run right, anterior, superior.

    Attributes:
        images: (S, D, H, W) float32, scaled inside the brain, 0 outside.
        modalities: What the S images are, in canonical order.
        brain: (D, H, W) bool.
        affine: (4, 4) float64, voxel (D, H, W) -> RAS mm; diagonal but for the shift.
        native: The grid of the study's reference, to which results go back.
    """

    images: np.ndarray
    modalities: tuple[Modality, ...]
    brain: np.ndarray
    affine: np.ndarray
    native: Geometry

    @property
    def geometry(self) -> Geometry:
        """The model grid."""
        return Geometry(self.brain.shape, self.affine)

    @property
    def spacing_mm(self) -> float:
        """Voxel size, the same along all axes."""
        return float(self.affine[0, 0])


def resample_to_model_grid(study: Study, *, spacing_mm: float = 1.0, brain: Volume | None = None) -> ModelGridStudy:
    """Bring a co-registered, skull-stripped study onto the network's grid.

    The grid is cut to the brain. Its voxel centers are those of the reference where that has the same voxel
    size, else multiples of the voxel size in the world: it does not depend on the images' storage order.

    Args:
        study: Modalities in one world; their grids may differ.
        brain: Mask of the brain, any grid; by default what differs from the background in any modality.

    Raises:
        InputError: If no brain is found.
    """
    orders = {modality: Reorientation.of(volume.geometry) for modality, volume in study.volumes.items()}
    if brain is None:
        masks = _contents(study, orders)
    else:
        masks = [(Reorientation.of(brain.geometry), brain.data > 0)]
    phase = _phase_mm(orders[study.reference], spacing_mm)
    whole = _grid_around(masks, spacing_mm, phase, source=study.name)
    inside = np.zeros(whole.shape, bool)
    for order, mask in masks:
        inside |= resample(mask, order, whole) >= 0.5
    if brain is None:
        inside = main_parts(inside)
    if np.count_nonzero(inside) * whole.voxel_volume_ml < _SMALLEST_BRAIN_ML:
        raise _no_brain(study.name)
    box = bounding_box(inside)
    assert box is not None
    inside = np.pad(inside[box], _MARGIN)
    target = _shifted(whole, np.array([part.start - _MARGIN for part in box]), np.array(inside.shape))
    images = np.empty((len(orders), *target.shape), np.float32)
    for image, (modality, order) in zip(images, orders.items(), strict=True):
        judged = inside & _covered(order, target)
        image[...] = scale_intensities(resample(study.volumes[modality].data, order, target), judged)
    return ModelGridStudy(images, tuple(orders), inside, target.affine, study.volumes[study.reference].geometry)


def to_native(field: np.ndarray, grid: ModelGridStudy, geometry: Geometry | None = None) -> np.ndarray:
    """Bring fields, such as probabilities, from the model grid to the reference's own by world coordinates.

    Args:
        field: (C, D, H, W) numbers on the model grid.
        geometry: The grid to go to; by default that of the study's reference.

    Returns:
        np.ndarray: (C, I, J, K) float32, 0 beyond the model grid.
    """
    native = Reorientation.of(geometry or grid.native)
    result = np.zeros((len(field), *(geometry or grid.native).shape), np.float32)
    to_index = np.linalg.inv(native.affine)
    corners = grid.geometry.corners_mm(edges=True) @ to_index[:3, :3].T + to_index[:3, 3]
    start = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, native.geometry.shape)
    stop = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1, start, native.geometry.shape)
    if (stop <= start).any():
        return result
    box = tuple(slice(*ends) for ends in zip(start, stop, strict=True))
    target = _shifted(native.geometry, start, stop - start)
    for channel, values in zip(result, field, strict=True):
        placed = resample_reordered(values, grid.affine, target, aligned=native.aligned)
        native.apply(channel)[box] = placed
    return result


def _contents(study: Study, orders: dict[Modality, Reorientation]) -> list[tuple[Reorientation, np.ndarray]]:
    """What differs from the background in any modality, one mask (I, J, K) for each grid."""
    masks: list[tuple[Reorientation, np.ndarray]] = []
    for modality, volume in study.volumes.items():
        content = content_mask(volume.data)
        for known, mask in masks:
            same = (known.axes, known.flips) == (orders[modality].axes, orders[modality].flips)
            if same and known.geometry.matches(orders[modality].geometry):
                mask |= content
                break
        else:
            masks.append((orders[modality], content))
    return masks


def _phase_mm(reference: Reorientation, spacing_mm: float) -> np.ndarray:
    """Offset of the model grid's lattice, (3,): that of the reference along axes with the same voxel size, else 0."""
    sizes = np.diag(reference.affine)[:3]
    same = reference.aligned & (np.abs(sizes - spacing_mm) * reference.geometry.shape < 0.01)
    return np.where(same, np.mod(reference.affine[:3, 3], spacing_mm), 0.0)


def _grid_around(
    masks: list[tuple[Reorientation, np.ndarray]], spacing_mm: float, phase: np.ndarray, *, source: str
) -> Geometry:
    boxes = []
    for order, mask in masks:
        mask = order.apply(mask)
        box = bounding_box(mask)
        if box is not None:
            start = np.array([part.start for part in box])
            boxes.append(_shifted(order.geometry, start, np.array(mask[box].shape)).corners_mm(edges=True))
    if not boxes:
        raise _no_brain(source)
    corners = np.concatenate(boxes)
    first = np.floor((corners.min(axis=0) - phase) / spacing_mm + _EXACT).astype(int)
    last = np.ceil((corners.max(axis=0) - phase) / spacing_mm - _EXACT).astype(int)
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = phase + first * spacing_mm
    return Geometry(tuple(last - first + 1), affine)


def _shifted(grid: Geometry, start: np.ndarray, shape: np.ndarray) -> Geometry:
    """The part of a grid from index `start`, of another shape."""
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ start
    return Geometry(tuple(shape), affine)


def _covered(order: Reorientation, target: Geometry) -> np.ndarray | bool:
    """Which voxels of the target (D, H, W) lie in an image's field of view; True if all do."""
    to_index = np.linalg.inv(order.affine)
    limits = np.array(order.geometry.shape) - 0.5
    corners = target.corners_mm() @ to_index[:3, :3].T + to_index[:3, 3]
    if (corners >= -0.5).all() and (corners <= limits).all():
        return True
    covered = np.ones(target.shape, bool)
    lines = np.ogrid[tuple(slice(size) for size in target.shape)]
    for row, limit in zip((to_index @ target.affine)[:3], limits, strict=True):
        places = sum(step * line for step, line in zip(row[:3], lines, strict=True)) + row[3]
        covered &= (places >= -0.51) & (places <= limit + 0.01)
    return covered


def _no_brain(source: str) -> InputError:
    return InputError(
        "No brain was found in the study",
        cause="hardly any voxel differs from the background",
        remedy="Look at the images; they should show a brain whose skull was removed",
        source=source,
    )
