"""Synthetic studies as files."""

from __future__ import annotations

import math
from pathlib import Path

from magpie_core.study.nifti import write_volume
from magpie_core.study.segmentation import write_segmentation
from magpie_core.synthesis.synthetic_study import SyntheticStudy


def write_synthetic(sample: SyntheticStudy, folder: Path) -> Path:
    """Write a study's sequences and its truth (`seg`, with the label schema beside it), return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for sequence, volume in sample.to_study().volumes.items():
        write_volume(volume, folder / f"{sequence.value.lower()}.nii.gz")
    write_segmentation(sample.to_segmentation(), folder / "seg.nii.gz")
    return folder


def grid_shape(spacing_mm: float) -> tuple[int, int, int]:
    """Voxels of a box of at least 176 x 208 x 184 mm, which holds any brain, as multiples of 8."""
    sizes = [8 * math.ceil(length / spacing_mm / 8) for length in (176, 208, 184)]
    return (sizes[0], sizes[1], sizes[2])
