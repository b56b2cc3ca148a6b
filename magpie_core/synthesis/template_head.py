"""One coarse average head, from the ICBM 152 template in nilearn's package."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

from magpie_core.io.template import template_file
from magpie_core.synthesis.tissue import HeadTissue

SHAPE = (184, 216, 184)
_SHRINKING = 0.92
_DEEP_MM = 12.0  # ventricles lie at least this far below the brain's surface


def template_head() -> np.ndarray:
    """Label map (184, 216, 184) uint8 of HeadTissue: 1 mm, RAS, centerd on the brain.

    The template knows gray matter, white matter and what is left; ventricles, cerebellum, brainstem and deep gray are
    told apart by depth and by their place in the template's coordinates, roughly. It has no skull.

    Raises
    ------
    ResourceError
        If nilearn or its template files are not installed.
    """
    gray, affine = _read(template_file("gm"))
    white, _ = _read(template_file("wm"))
    brain = ndimage.binary_closing(gray + white > 0.3, ndimage.generate_binary_structure(3, 1), iterations=5)
    brain = ndimage.binary_fill_holes(brain)
    labels = np.zeros(gray.shape, np.uint8)
    labels[ndimage.binary_dilation(brain, iterations=2)] = HeadTissue.SULCAL_CSF
    labels[brain & (gray >= white) & (gray > 0.25)] = HeadTissue.CORTEX
    labels[brain & (white > gray) & (white > 0.25)] = HeadTissue.WHITE_MATTER
    _name_parts(labels, ndimage.distance_transform_edt(brain), affine)
    # An average brain made by linear alignment is larger than a brain.
    labels = ndimage.zoom(labels, _SHRINKING, order=0)
    return centerd(labels, labels > 0)


def _name_parts(labels: np.ndarray, depth_mm: np.ndarray, affine: np.ndarray) -> None:
    """Tell the parts apart by depth and place; coordinates in mm of the template."""
    side, front, up = (
        (affine[axis, axis] * np.arange(size) + affine[axis, 3]).reshape(
            [-1 if a == axis else 1 for a in range(3)]
        )
        for axis, size in enumerate(labels.shape)
    )
    side = np.abs(side)
    is_gray, is_white = labels == HeadTissue.CORTEX, labels == HeadTissue.WHITE_MATTER
    fluid = (labels == HeadTissue.SULCAL_CSF) & (depth_mm > _DEEP_MM)
    labels[fluid & (side < 40) & (front > -60) & (front < 45) & (up > -25) & (up < 35)] = HeadTissue.VENTRICLE
    below_tent = (front < -38) & (up < -18 + 0.4 * (front + 90))
    labels[below_tent & is_gray] = HeadTissue.CEREBELLAR_CORTEX
    labels[below_tent & is_white] = HeadTissue.CEREBELLAR_WHITE_MATTER
    tissue = is_gray | is_white
    labels[tissue & (side < 16) & (front > -42) & (front < -12) & (up < -8)] = HeadTissue.BRAINSTEM
    thalamus = ((side - 11) / 11) ** 2 + ((front + 17) / 15) ** 2 + ((up - 7) / 10) ** 2 < 1
    labels[tissue & thalamus] = HeadTissue.THALAMUS
    striatum = (side > 6) & (side < 32) & (front > -12) & (front < 22) & (up > -10) & (up < 20)
    labels[is_gray & striatum & (depth_mm > _DEEP_MM)] = HeadTissue.STRIATUM
    hippocampus = (side > 14) & (side < 38) & (front > -36) & (front < -2) & (up > -32) & (up < -8)
    labels[is_gray & hippocampus & (depth_mm > _DEEP_MM)] = HeadTissue.HIPPOCAMPUS


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Values scaled to 0 ... 1 (D, H, W) in RAS order, and the affine."""
    image = nibabel.as_closest_canonical(nibabel.load(path))
    values = np.asarray(image.dataobj, np.float32)
    return values / values.max(), image.affine


def centerd(labels: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Labels cut or padded to SHAPE around the middle of the brain's box."""
    places = np.argwhere(brain)
    start = (places.min(axis=0) + places.max(axis=0) + 1) // 2 - np.array(SHAPE) // 2
    before = np.maximum(-start, 0)
    after = np.maximum(start + SHAPE - labels.shape, 0)
    padded = np.pad(labels, list(zip(before, after, strict=True)))
    first = start + before
    return padded[tuple(slice(at, at + size) for at, size in zip(first, SHAPE, strict=True))]
