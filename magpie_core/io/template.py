"""The ICBM 152 template, which comes with this installation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from magpie_core.imaging.volume import Volume
from magpie_core.io.nifti import read_volume
from magpie_core.storage.resources import resources_folder

_SHAPE = (197, 233, 189)
_ORIGIN_MM = (-98.0, -134.0, -72.0)


def read_template() -> Volume:
    """Return the T1-weighted brain of the ICBM 2009a nonlinear symmetric template.

    (197, 233, 189) float32, 1 mm, MNI coordinates, 0 around the brain. The file holds its right half and the middle
    slice; the left half is the mirror image.

    Raises:
        ResourceError: If the file does not come with this installation.
    """
    path = resources_folder("Template") / "t1_brain_right_half.nii.gz"
    right = read_volume(path)
    brain = np.concatenate([right.data[:0:-1], right.data])
    affine = np.eye(4)
    affine[:3, 3] = _ORIGIN_MM
    start = np.rint(right.affine[:3, 3] - _ORIGIN_MM).astype(int)
    start[0] -= len(right.data) - 1
    data = np.zeros(_SHAPE, brain.dtype)
    data[tuple(slice(at, at + size) for at, size in zip(start, brain.shape, strict=True))] = brain
    return Volume(data, affine, source=str(path))


def template_head_file() -> Path:
    """Return the label map of an average head, made from the template: HeadTissue, 1 mm, without a skull."""
    return resources_folder("Template") / "head_tissues.nii.gz"
