"""Checks of a segmentation before it joins a cohort: place, image that it was drawn on, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt

from magpie_core.cohort.case import outline_hash
from magpie_core.cohort.cohort import Cohort
from magpie_core.cohort.label_options import LabelOptions
from magpie_core.errors import ConfirmationNeeded, InputError
from magpie_core.imaging.background import bounding_box, content_mask
from magpie_core.imaging.glioma import Region, Tissue
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.reorientation import Reorientation
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.io.label_declarations import declared_integers
from magpie_core.preprocessing.prepared_study import PreparedStudy
from magpie_core.preprocessing.resampling import resample_nearest

_SAME_GRID_MM = 0.05
_APART_MM = 2.0
_BRAIN_MARGIN_MM = 3.0
_OUTSIDE_ML = 0.02
_OUTSIDE_FRACTION = 0.2
# In 26 gliomas the edema bordered on healthy tissue with at least 0.15 more of its surface than the necrosis.
_BORDER_DIFFERENCE = 0.1


def volumes_ml(segmentation: Segmentation) -> dict[str, float]:
    """Return the milliliters of each tissue of a segmentation's schema, by its display name."""
    return {tissue.label: segmentation.volume_ml(tissue) for tissue in segmentation.schema.labels.values()}


def fitting_images(
    labels: Segmentation, study: Study, drawn_on: Modality | None = None
) -> dict[Modality, Segmentation]:
    """Return a segmentation on the grid of each image that has its voxels, the reference first.

    Axes may run in any order, and background may be missing or more. InputError if it fits no image, or not the one
    that it was drawn on.
    """
    wanted = study.modalities if drawn_on is None else (drawn_on,)
    fitting = {
        modality: placed
        for modality in sorted(wanted, key=lambda modality: modality is not study.reference)
        if modality in study.volumes
        if (placed := labels.on_grid(study.volumes[modality].geometry)) is not None
    }
    if not fitting:
        raise _no_grid(labels, study, drawn_on)
    own = Reorientation.of(labels.geometry).geometry
    exact = {
        modality: placed
        for modality, placed in fitting.items()
        if own.matches(Reorientation.of(placed.geometry).geometry, _SAME_GRID_MM)
    }
    return exact or fitting


def place_on_image(fitting: Mapping[Modality, Segmentation], study: Study, prepared: PreparedStudy) -> Segmentation:
    """Return a segmentation on the grid of the image that it was drawn on, so that it follows that image.

    Where an image that has been moved shares the reference's grid, what was drawn on it is moved along and resampled to
    that grid by nearest neighbor.

    Args:
        fitting: As of `fitting_images`.

    Raises:
        InputError: If it is not clear on which of several images that lie apart it was drawn.
    """
    moves = {
        modality: prepared.registrations[modality].matrix if modality in prepared.registrations else np.eye(4)
        for modality in fitting
    }
    (chosen, placed), *others = fitting.items()
    corners = np.c_[placed.geometry.corners_mm(), np.ones(8)]
    for other, _ in others:
        apart_mm = float(np.linalg.norm(corners @ (moves[other] - moves[chosen]).T, axis=1).max())
        if apart_mm > _APART_MM:
            raise InputError(
                f"It is not clear which image the segmentation was drawn on: the {chosen.label} or the {other.label}",
                cause=f"both have its grid, but the head moved between them by up to {apart_mm:.1f} mm",
                remedy=f"Name the image (magpie cohort add, import: --drawn-on {other.value})",
                source=placed.source,
            )
    right = moves[chosen] @ placed.affine
    if np.allclose(prepared.move_with_images(placed).affine, right, atol=1e-3):
        return placed
    grid = study.volumes[study.reference].geometry
    moved = resample_nearest(Volume(placed.labels, right), grid.affine, grid.shape)
    return Segmentation(moved, grid.affine, placed.schema, placed.source)


def check_content(labels: Segmentation, prepared: PreparedStudy, options: LabelOptions) -> None:
    """Raise ConfirmationNeeded where a segmentation may be a slip, and `options` do not say that it is meant.

    Args:
        labels: On the grid of an image of the study.
    """
    questions = {
        "allow_empty": ""
        if labels.labels.any()
        else "The segmentation is empty: the case would say that there is no tumor",
        "allow_outside": _outside(prepared.move_with_images(labels), prepared),
        "allow_cavity": _cavity(labels, options),
        "allow_swapped": _swapped(labels),
    }
    asked = {name: text for name, text in questions.items() if text and name not in options.allowed}
    if asked:
        raise ConfirmationNeeded(asked, source=labels.source)


def _no_grid(labels: Segmentation, study: Study, drawn_on: Modality | None) -> InputError:
    if drawn_on is not None and drawn_on not in study.volumes:
        return InputError(f"The study has no {drawn_on.label}", remedy="Name an image of the study", source=study.name)
    size = " x ".join(map(str, labels.labels.shape))
    spacing = " x ".join(f"{length:.3g}" for length in labels.geometry.spacing_mm)
    image = study.volumes[drawn_on or study.reference]
    there = " x ".join(f"{length:.3g}" for length in image.spacing_mm)
    return InputError(
        "The segmentation lies on another grid than the images" if drawn_on is None
        else f"The segmentation lies on another grid than the {drawn_on.label}",
        cause=f"it has {size} voxels of {spacing} mm, the {(drawn_on or study.reference).label} "
        f"{' x '.join(map(str, image.shape))} of {there} mm; or it lies elsewhere, or reaches beyond",
        remedy="Export it on the grid of one of the images (3D Slicer: Segmentations, Export to files)",
        source=labels.source or study.name,
    )  # fmt: skip


def _outside(labels: Segmentation, prepared: PreparedStudy) -> str:
    """What lies outside of the brain, or of what any image shows."""
    places = np.argwhere(labels.labels)
    if not len(places):
        return ""
    brain = prepared.brain
    shown = prepared.study.volumes.values()
    masks = [brain] if brain is not None else [Volume(content_mask(one.data), one.affine) for one in shown]
    world = places @ labels.affine[:3, :3].T + labels.affine[:3, 3]
    outside = np.ones(len(places), bool)
    for mask in masks:
        outside[outside] = ~_near(world[outside], mask)
        if not outside.any():
            return ""
    ml = float(outside.sum()) * labels.geometry.voxel_volume_ml
    if ml < _OUTSIDE_ML and outside.mean() < _OUTSIDE_FRACTION:
        return ""
    return f"{max(ml, 0.01):.2f} ml of the segmentation ({100 * outside.mean():.0f} %) lie outside of the brain"


def _near(world: np.ndarray, mask: Volume) -> np.ndarray:
    """Whether places (N, 3) in mm lie in a mask or within the margin of it."""
    to_index = np.linalg.inv(mask.affine)
    index = np.rint(world @ to_index[:3, :3].T + to_index[:3, 3]).astype(int)
    pad = np.ceil(_BRAIN_MARGIN_MM / np.array(mask.spacing_mm)).astype(int) + 1
    low = np.clip(index.min(axis=0) - pad, 0, mask.shape)
    high = np.clip(index.max(axis=0) + pad + 1, 0, mask.shape)
    cut = np.asarray(mask.data[tuple(map(slice, low, high))], bool)
    if not cut.any():
        return np.zeros(len(world), bool)
    distance_mm = distance_transform_edt(~np.pad(cut, [(one, one) for one in pad]), sampling=mask.spacing_mm)
    at = index - low + pad
    inside = ((at >= 0) & (at < distance_mm.shape)).all(axis=1)
    near = np.zeros(len(world), bool)
    near[inside] = distance_mm[tuple(at[inside].T)] <= _BRAIN_MARGIN_MM
    return near


def _cavity(labels: Segmentation, options: LabelOptions) -> str:
    """A resection cavity that only a named schema speaks of."""
    if options.schema is None or not labels.mask(Tissue.RC).any():
        return ""
    if any(Tissue.RC in declared.integers.values() for declared in declared_integers(Path(labels.source)).values()):
        return ""
    value = labels.schema.value(Tissue.RC)
    return (
        f"By the schema {labels.schema.name}, label {value} would be stored as {labels.volume_ml(Tissue.RC):.2f} ml of "
        f"resection cavity and {labels.volume_ml(Tissue.ET):.2f} ml as enhancing tumor; in masks of BraTS 2022 and "
        f"before, label 4 is enhancing tumor (brats-2022)"
    )


def _swapped(labels: Segmentation) -> str:
    """Whether necrosis and edema seem to be swapped: edema is outermost."""
    borders = {tissue: _outer_border(labels, tissue) for tissue in (Tissue.NCR, Tissue.ED)}
    if None in borders.values() or borders[Tissue.NCR] - borders[Tissue.ED] < _BORDER_DIFFERENCE:  # type: ignore[operator]
        return ""
    return "The necrotic or non-enhancing core lies around the edema: the two labels may be swapped"


def only_core(labels: Segmentation) -> str:
    """Return a warning if all is core, by one integer: a mask of the whole tumor is written so; else an empty text."""
    if [tissue for tissue in labels.schema.labels.values() if labels.mask(tissue).any()] != [Tissue.NCR]:
        return ""
    return (
        f"{labels.source}: All of the tumor, {labels.volume_ml(Tissue.NCR):.2f} ml, is stored as necrotic or "
        "non-enhancing core: if it is a mask of the whole tumor, which does not say which tissue is where, remove it"
    )


def _outer_border(labels: Segmentation, tissue: Tissue) -> float | None:
    """Return the fraction of a tissue's surface that borders on no tumor; None if there is no such tissue."""
    box = bounding_box(labels.labels > 0) or ()
    inside, tumor = (np.pad(labels.mask(part)[box], 1) for part in (tissue, Region.WT))
    outer = surface = 0
    for axis in range(3):
        for step in (1, -1):
            edge = inside & ~np.roll(inside, step, axis)
            surface += np.count_nonzero(edge)
            outer += np.count_nonzero(edge & ~np.roll(tumor, step, axis))
    return outer / surface if surface else None


def same_elsewhere(labels: Segmentation, cohort: Cohort) -> str:
    """Return a warning if a case of the cohort has the same segmentation, of other images; else an empty text."""
    outline = outline_hash(labels)
    others = [case.name for case in cohort.cases() if case.outline == outline] if outline else []
    return f"{labels.source}: {others[0]} has the same segmentation of other images: is it of these?" if others else ""
