"""Derive the files of Resources/Template from the ICBM 2009a nonlinear symmetric template.

python benchmarks/template_files.py FOLDER [-o Resources/Template]

FOLDER holds `mni_icbm152_{t1,gm,wm}_tal_nlin_sym_09a_converted.nii.gz` (uint8, 1 mm, 197 x 233 x 189 voxels), as the
Python package nilearn 0.14 carries them in `nilearn/datasets/data`.

Nothing of the brain is lost: the template is symmetric to the last bit, so its right half is all of it.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

from magpie_core.synthesis.anatomy import centered
from magpie_core.synthesis.tissue import HeadTissue

SCALE = 0.92  # an average brain made by linear alignment is larger than a brain
DEEP_MM = 12.0  # ventricles lie at least this far below the brain's surface


def right_half(t1: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the right half (the middle slice included) of the brain's bounding box, and its affine."""
    if not np.array_equal(t1, t1[::-1]):
        raise SystemExit("The template is not symmetric; this is another release of it.")
    index = np.argwhere(t1)
    low, high = index.min(0), index.max(0) + 1
    low[0] = t1.shape[0] // 2
    affine = affine.copy()
    affine[:3, 3] += affine[:3, :3] @ low
    return t1[tuple(slice(first, stop) for first, stop in zip(low, high, strict=True))], affine


def head_tissues(gray: np.ndarray, white: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Return a label map (184, 216, 184) uint8 of HeadTissue at 1 mm, centered on the brain.

    The template has gray matter, white matter and the rest; ventricles, cerebellum, brainstem and deep gray matter are
    labeled by depth and by position in the template, roughly. It has no skull.
    """
    gray, white = (part.astype(np.float32) / part.max() for part in (gray, white))
    brain = ndimage.binary_closing(gray + white > 0.3, ndimage.generate_binary_structure(3, 1), iterations=5)
    brain = ndimage.binary_fill_holes(brain)
    labels = np.zeros(gray.shape, np.uint8)
    labels[ndimage.binary_dilation(brain, iterations=2)] = HeadTissue.SULCAL_CSF
    labels[brain & (gray >= white) & (gray > 0.25)] = HeadTissue.CORTEX
    labels[brain & (white > gray) & (white > 0.25)] = HeadTissue.WHITE_MATTER
    label_parts(labels, ndimage.distance_transform_edt(brain), affine)
    labels = ndimage.zoom(labels, SCALE, order=0)
    return centered(labels, labels > 0)


def label_parts(labels: np.ndarray, depth_mm: np.ndarray, affine: np.ndarray) -> None:
    """Label parts of the brain by depth and position, in place; coordinates in mm of the template (RAS)."""
    right, front, up = (
        (affine[axis, axis] * np.arange(size) + affine[axis, 3]).reshape([-1 if a == axis else 1 for a in range(3)])
        for axis, size in enumerate(labels.shape)
    )
    side = np.abs(right)
    is_gray, is_white = labels == HeadTissue.CORTEX, labels == HeadTissue.WHITE_MATTER
    fluid = (labels == HeadTissue.SULCAL_CSF) & (depth_mm > DEEP_MM)
    labels[fluid & (side < 40) & (front > -60) & (front < 45) & (up > -25) & (up < 35)] = HeadTissue.VENTRICLE
    below_tent = (front < -38) & (up < -18 + 0.4 * (front + 90))
    labels[below_tent & is_gray] = HeadTissue.CEREBELLAR_CORTEX
    labels[below_tent & is_white] = HeadTissue.CEREBELLAR_WHITE_MATTER
    tissue = is_gray | is_white
    labels[tissue & (side < 16) & (front > -42) & (front < -12) & (up < -8)] = HeadTissue.BRAINSTEM
    thalamus = ((side - 11) / 11) ** 2 + ((front + 17) / 15) ** 2 + ((up - 7) / 10) ** 2 < 1
    labels[tissue & thalamus] = HeadTissue.THALAMUS
    striatum = (side > 6) & (side < 32) & (front > -12) & (front < 22) & (up > -10) & (up < 20)
    labels[is_gray & striatum & (depth_mm > DEEP_MM)] = HeadTissue.STRIATUM
    hippocampus = (side > 14) & (side < 38) & (front > -36) & (front < -2) & (up > -32) & (up < -8)
    labels[is_gray & hippocampus & (depth_mm > DEEP_MM)] = HeadTissue.HIPPOCAMPUS


def write(data: np.ndarray, affine: np.ndarray, path: Path) -> None:
    """Write a NIfTI file whose bytes depend on the data only."""
    image = nibabel.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm")
    path.write_bytes(gzip.compress(image.to_bytes(), 9, mtime=0))


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", "-o", type=Path, default=Path("Resources/Template"))
    options = parser.parse_args()
    images = [
        nibabel.as_closest_canonical(
            nibabel.load(options.folder / f"mni_icbm152_{part}_tal_nlin_sym_09a_converted.nii.gz")
        )
        for part in ("t1", "gm", "wm")
    ]
    t1, gray, white = (np.asarray(image.dataobj) for image in images)
    affine = images[0].affine
    write(*right_half(t1, affine), options.out / "t1_brain_right_half.nii.gz")
    labels = head_tissues(gray, white, affine)
    centered_affine = np.eye(4)
    centered_affine[:3, 3] = [-(size - 1) / 2 for size in labels.shape]
    write(labels, centered_affine, options.out / "head_tissues.nii.gz")


if __name__ == "__main__":
    main()
