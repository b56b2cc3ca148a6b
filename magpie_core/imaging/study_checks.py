"""Checks of a study: refuse unusable images, warn of missing modalities and partial coverage."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from magpie_core.errors import InputError, errors_about
from magpie_core.imaging.background import background_value, bounding_box, content_mask
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.reorientation import Reorientation
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume

_SPACING_MM = (0.1, 20.0)
_OVERLAP_NEEDED = 0.25
_OVERLAP_GOOD = 0.75
_SAME_PLACE_MM = 0.05
_FEW_VALUES = 5
_LARGEST_BRAIN_ML = 2200  # a head is larger, unless the field of view cuts it
_WIDEST_BRAIN_CM2 = 225  # brains: up to 200 in an axial slice; heads: 250 and more
_BACKGROUND_NEEDED = 0.5  # fraction of the outer faces


def check_study(study: Study) -> tuple[str, ...]:
    """Check that every image can be used and that all show the same place.

    Returns:
        tuple of str: Warnings, as plain sentences.

    Raises:
        InputError: If an image is empty or constant, has impossible voxels, is given twice, or lies elsewhere.
    """
    warnings = _missing(study)
    for modality, volume in study.volumes.items():
        with errors_about(volume.source):
            warnings += _check_content(modality, volume)
    for (first, one), (second, other) in combinations(study.volumes.items(), 2):
        _check_different(first, one, second, other)
    return (*warnings, *_check_places(study))


def _missing(study: Study) -> list[str]:
    warnings = []
    if Modality.T1CE not in study.volumes:
        warnings.append("There is no T1ce: no enhancing tumor (ET) is segmented; it is counted as tumor core.")
    if Modality.FLAIR not in study.volumes:
        alone = Modality.T2 not in study.volumes
        warnings.append(
            f"There is no FLAIR{' and no T2' if alone else ''}: the outer border of the edema (ED), and with "
            f"it the whole tumor, is {'not' if alone else 'less'} reliable."
        )
    return warnings


def _check_content(modality: Modality, volume: Volume) -> list[str]:
    if min(volume.shape) < 2:
        raise InputError(
            f"The {modality.label} is a single slice",
            cause=f"its size is {' x '.join(map(str, volume.shape))}",
            remedy="Give all slices of the modality",
        )
    low, high = _SPACING_MM
    if min(volume.spacing_mm) < low or max(volume.spacing_mm) > high:
        sizes = " x ".join(f"{size:.3g}" for size in volume.spacing_mm)
        raise InputError(
            f"The {modality.label} has voxels of an impossible size",
            cause=f"{sizes} mm, where {low} to {high} mm are expected: the file's unit is probably not mm",
            remedy="Export the image again with its voxel size in mm",
        )
    least, most = float(volume.data.min()), float(volume.data.max())
    if not np.isfinite((least, most)).all():
        raise InputError(
            f"The {modality.label} holds values that are not finite numbers",
            remedy="Repeat the processing step that made them",
        )
    if least == most:
        raise InputError(
            f"The {modality.label} is {'empty' if least == 0 else 'constant'}",
            cause=f"every voxel has the value {least:g}",
            remedy=f"Export the {modality.label} again, or leave it out",
        )
    if has_few_values(volume.data):
        return [f"The {modality.label} has only a few different values: is it a segmentation instead of an image?"]
    return []


def has_few_values(data: np.ndarray) -> bool:
    """Whether an image (I, J, K) has so few different values that it is a segmentation."""
    return len(np.unique(data[::3, ::3, ::3])) <= _FEW_VALUES and len(np.unique(data)) <= _FEW_VALUES


def _check_different(first: Modality, one: Volume, second: Modality, other: Volume) -> None:
    """Refuse two images that are equal up to brightness, contrast and storage order."""
    a, b = (Reorientation.of(volume.geometry).apply(volume.data) for volume in (one, other))
    if a.shape != b.shape:
        return
    for step in (7, 1):  # a sample is enough for nearly all pairs
        part = (slice(None, None, step),) * 3
        if not np.allclose(_rescaled(a[part]), _rescaled(b[part]), rtol=0, atol=1e-6):
            return
    raise InputError(
        f"The {first.label} and the {second.label} are the same image",
        cause=f"{one.source or first.label} and {other.source or second.label} hold the same values",
        remedy="Choose the right file for each, or leave one of them out",
    )


def _rescaled(data: np.ndarray) -> np.ndarray:
    """Return the values scaled to 0 ... 1."""
    low, high = float(data.min()), float(data.max())
    return np.asarray((data - np.float32(low)) / np.float32(high - low or 1))


def _check_places(study: Study) -> list[str]:
    """Refuse images that lie apart in the world; warn of partial coverage."""
    reference = study.reference
    fixed = study.volumes[reference]
    fixed_box = _content_box_mm(fixed)
    warnings = []
    for modality, volume in study.volumes.items():
        if modality is reference:
            continue
        box = _content_box_mm(volume)
        common = np.prod(np.clip(np.minimum(box[1], fixed_box[1]) - np.maximum(box[0], fixed_box[0]), 0, None))
        own, whole = np.prod(box[1] - box[0]), np.prod(fixed_box[1] - fixed_box[0])
        smaller = min(own, whole)
        if common < _OVERLAP_NEEDED * smaller:
            raise InputError(
                f"The {modality.label} and the {reference.label} do not show the same part of the body",
                cause=f"in world coordinates they overlap by {100 * common / smaller:.0f} %",
                remedy="Check that both are of one patient and visit; if so, register them first",
                source=volume.source,
            )
        if common < _OVERLAP_GOOD * whole:
            covered = f"{100 * common / whole:.0f} %"
            warnings.append(f"The {modality.label} covers only {covered} of the {reference.label}.")
    return warnings


def _content_box_mm(volume: Volume) -> np.ndarray:
    """Return the world bounding box (2, 3) of the voxels that differ from the background."""
    box = bounding_box(content_mask(volume.data)) or ()
    ends = [(part.start - 0.5, part.stop - 0.5) for part in box]
    corners = np.array(np.meshgrid(*ends)).reshape(3, -1)
    world = volume.affine[:3, :3] @ corners + volume.affine[:3, 3:]
    return np.stack([world.min(axis=1), world.max(axis=1)])


def with_skull(study: Study) -> tuple[Modality, ...]:
    """Return the modalities that show more than a brain, or have no background."""
    found = []
    for modality, volume in study.volumes.items():
        _, fraction = background_value(volume.data)
        order = Reorientation.of(volume.geometry)
        content = order.apply(content_mask(volume.data))
        content_ml = np.count_nonzero(content) * volume.voxel_volume_ml
        across, along, _ = order.geometry.spacing_mm
        widest_cm2 = np.count_nonzero(content, axis=(0, 1)).max() * across * along / 100  # of the axial slices
        too_large = content_ml > _LARGEST_BRAIN_ML or widest_cm2 > _WIDEST_BRAIN_CM2
        if fraction < _BACKGROUND_NEEDED or too_large:
            found.append(modality)
    return tuple(found)


def on_one_grid(study: Study) -> bool:
    """Whether all modalities lie on the reference's grid, in whatever order they are stored."""
    grid = Reorientation.of(study.volumes[study.reference].geometry).geometry
    return all(
        Reorientation.of(volume.geometry).geometry.matches(grid, _SAME_PLACE_MM) for volume in study.volumes.values()
    )
