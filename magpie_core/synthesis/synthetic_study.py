"""One synthetic study with its labels, and its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from magpie_core.errors import InputError
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES, Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.io.nifti import write_volume
from magpie_core.io.segmentation_file import write_segmentation
from magpie_core.storage.atomic import write_errors


@dataclass(frozen=True)
class SyntheticStudy:
    """Co-registered, skull-stripped images of one synthetic brain.

    Args:
        images: (S, D, H, W) float32 in the order of `modalities`; raw positive intensities in the brain mask, 0
            outside.
        labels: (D, H, W) uint8, schema "magpie": 1 necrotic or non-enhancing core, 2 edema, 3 enhancing tumor.
        brain: (D, H, W) bool, the imperfect brain mask.
        spacing_mm: Isotropic voxel size; the axes are R, A, S increasing.
        phenotype: Value of Phenotype, or the configuration's target.
        seed: Seed, shared by all renderings of a brain.
    """

    images: np.ndarray
    labels: np.ndarray
    brain: np.ndarray
    spacing_mm: float
    phenotype: str
    seed: int
    modalities: tuple[str, ...] = GLIOMA_MODALITY_NAMES

    @property
    def affine(self) -> np.ndarray:
        """(4, 4) voxel -> RAS mm; the origin is the center of the grid."""
        affine = np.diag([self.spacing_mm] * 3 + [1.0])
        affine[:3, 3] = [-(n - 1) / 2 * self.spacing_mm for n in self.labels.shape]
        return affine

    def to_study(self) -> Study:
        """Return the images as a study that can be segmented."""
        name = f"synthetic-{self.seed}"
        volumes = {
            Modality(modality): Volume(image, self.affine, source=f"{name}/{modality}")
            for modality, image in zip(self.modalities, self.images, strict=True)
        }
        return Study(volumes, name)

    def to_segmentation(self) -> Segmentation:
        """Return the labels as a segmentation on the grid of the study."""
        return Segmentation(self.labels, self.affine, label_schema("magpie"), source=f"synthetic-{self.seed}")


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
    with write_errors(folder, "Cannot create the folder for the study"):
        folder.mkdir(parents=True, exist_ok=True)
        others = sorted(set(folder.glob("*.nii*")) - {*images, reference})
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
