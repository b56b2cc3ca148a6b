"""Synthetic studies as files."""

from __future__ import annotations

import math
from pathlib import Path

from magpie_core.errors import InputError, ResourceError
from magpie_core.io.nifti import write_volume
from magpie_core.io.segmentation_file import write_segmentation
from magpie_core.synthesis.synthetic_study import SyntheticStudy


def write_synthetic(sample: SyntheticStudy, folder: Path) -> Path:
    """Write a study's modalities and, last, its truth (`seg`, with the label schema beside it); return the folder.

    Raises
    ------
    InputError
        If the folder holds images that this study does not have.
    ResourceError
        If it cannot be written.
    """
    images = {
        folder / f"{modality.value.lower()}.nii.gz": volume
        for modality, volume in sample.to_study().volumes.items()
    }
    truth = folder / "seg.nii.gz"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = sorted(set(folder.glob("*.nii*")) - {*images, truth})
    except OSError as error:
        raise ResourceError(
            "The folder for the study cannot be made",
            cause=error.strerror or str(error),
            remedy="Choose a place where you may write",
            source=str(folder),
        ) from error
    if others:
        raise InputError(
            "The folder holds images of another study",
            cause=f"{others[0].name} is not one that is made now",
            remedy="Choose another folder",
            source=str(folder),
        )
    for path, volume in images.items():
        write_volume(volume, path)
    write_segmentation(sample.to_segmentation(), truth)
    return folder


def grid_shape(spacing_mm: float) -> tuple[int, int, int]:
    """Voxels of a box of at least 176 x 208 x 184 mm, which holds any brain, as multiples of 8.

    Raises
    ------
    InputError
        If it would be a box of few voxels, or of too many.
    """
    if not 0.5 <= spacing_mm <= 4:
        raise InputError(f"A voxel size of {spacing_mm:g} mm is of no use here", remedy="Use 0.5 to 4 mm")
    sizes = [8 * math.ceil(length / spacing_mm / 8) for length in (176, 208, 184)]
    return (sizes[0], sizes[1], sizes[2])
