"""NIfTI files written with nibabel itself, valid and faulty."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Write an image; options: `affine`, `sform` and `qform` codes, `qform_affine`, `kind`."""

    def write(
        data: np.ndarray,
        name: str = "t1.nii.gz",
        *,
        affine: np.ndarray | None = None,
        sform: int = 1,
        qform: int = 1,
        qform_affine: np.ndarray | None = None,
        kind: type = nibabel.Nifti1Image,
    ) -> Path:
        affine = np.diag([-1.0, -1, 1, 1]) if affine is None else affine
        image = kind(data, affine, dtype=data.dtype)
        image.set_sform(affine, code=sform)
        image.set_qform(affine if qform_affine is None else qform_affine, code=qform)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(image, path)
        return path

    return write
