"""Synthetic studies as files."""

from __future__ import annotations

import math
from pathlib import Path

from magpie_core.errors import InputError, ResourceError
from magpie_core.io.nifti import write_volume
from magpie_core.io.segmentation_file import write_segmentation
from magpie_core.synthesis.synthetic_study import SyntheticStudy


def write_synthetic(study: SyntheticStudy, folder: Path) -> Path:
    """Write the modalities of a study and, last, its reference standard (`seg`, label schema); return the folder.

    Raises:
        InputError: If the folder holds images of another study.
        ResourceError: If it cannot be written.
    """
    images = {
        folder / f"{modality.value.lower()}.nii.gz": volume for modality, volume in study.to_study().volumes.items()
    }
    reference = folder / "seg.nii.gz"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = sorted(set(folder.glob("*.nii*")) - {*images, reference})
    except OSError as error:
        raise ResourceError(
            "The folder for the study cannot be created",
            cause=error.strerror or str(error),
            remedy="Choose a folder you can write to",
            source=str(folder),
        ) from error
    if others:
        raise InputError(
            "The folder holds images of another study",
            cause=f"{others[0].name} does not belong to this study",
            remedy="Choose another folder",
            source=str(folder),
        )
    for path, volume in images.items():
        write_volume(volume, path)
    write_segmentation(study.to_segmentation(), reference)
    return folder


def grid_shape(spacing_mm: float) -> tuple[int, int, int]:
    """Return the grid size for at least 176 x 208 x 184 mm, which holds any brain, in multiples of 8 voxels.

    Raises:
        InputError: If the voxel size is not 0.5 to 4 mm.
    """
    if not 0.5 <= spacing_mm <= 4:
        raise InputError(f"A voxel size of {spacing_mm:g} mm is not supported", remedy="Use 0.5 to 4 mm")
    sizes = [8 * math.ceil(length / spacing_mm / 8) for length in (176, 208, 184)]
    return (sizes[0], sizes[1], sizes[2])
