"""Prepare one unlabeled study from its files to a packed sample; faulty images are left out and recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from magpie_core.errors import InputError
from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES, Modality
from magpie_core.imaging.study import Study
from magpie_core.imaging.study_checks import check_study
from magpie_core.imaging.volume import Volume
from magpie_core.io.nifti import read_volume
from magpie_core.preprocessing.itk import correct_bias_field
from magpie_core.preprocessing.model_grid import resample_to_model_grid
from magpie_core.preprocessing.prepared_study import prepare_study
from magpie_core.pretraining.dataset.config import PAPER_SCALE, DatasetConfig
from magpie_core.pretraining.dataset.exclusions import image_hashes
from magpie_core.training.sample import Sample
from magpie_core.training.voxel_weights import voxel_weights

_FEWEST_SLICES = 8


@dataclass(frozen=True)
class ReadImages:
    """The readable images that a sample can hold, hashes of files and images, and errors of the files left out."""

    volumes: Mapping[Modality, Volume]
    hashes: tuple[str, ...]
    problems: tuple[dict[str, str], ...]


@dataclass(frozen=True)
class PackedStudy:
    """An unlabeled study, packed.

    Attributes:
        packed: (S + 1, D, H, W) uint8: the present modalities, in the order of `GLIOMA_MODALITY_NAMES`, then the voxel
            weights (no labels). None if no image can be used.
        modalities: Names of the S images.
        problems, warnings: What was left out (errors' plain values), and what a user should check.
    """

    packed: np.ndarray | None
    modalities: tuple[str, ...]
    problems: tuple[dict[str, str], ...]
    warnings: tuple[str, ...]


def read_images(files: Mapping[Modality, Path]) -> ReadImages:
    """Read every file that can be read (those of other modalities than `GLIOMA_MODALITY_NAMES` are skipped)."""
    volumes: dict[Modality, Volume] = {}
    hashes: list[str] = []
    problems = []
    for modality, path in sorted(files.items(), key=lambda item: list(Modality).index(item[0])):
        if modality.value not in GLIOMA_MODALITY_NAMES:
            continue
        try:
            volume = read_volume(path)
            hashes += image_hashes(path, [volume])
            if min(volume.shape) < _FEWEST_SLICES:
                raise InputError(
                    f"The {modality.label} has too few slices",
                    cause=f"its size is {' x '.join(map(str, volume.shape))}: it may be a localizer",
                    remedy="Leave it out",
                    source=volume.source,
                )
            volumes[modality] = volume
        except InputError as error:
            problems.append(error.as_dict())
    return ReadImages(volumes, tuple(hashes), tuple(problems))


def packed_key(images: ReadImages, config: DatasetConfig) -> str:
    """Return the key of the sample of these images with this configuration, 32 hex digits."""
    digest = hashlib.sha256(f"1 {config.spacing_mm:g} {config.intensities}".encode())
    for modality, volume in images.volumes.items():
        digest.update(f"{modality} {volume.shape} {np.round(volume.affine, 6).tolist()}".encode())
        digest.update(np.ascontiguousarray(volume.data).tobytes())
    return digest.hexdigest()[:32]


def pack_unlabeled(
    images: ReadImages, config: DatasetConfig, *, name: str = "", threads: int | None = None
) -> PackedStudy:
    """Co-register the images, extract the brain of whole heads, resample, normalize and pack.

    An image that is faulty or cannot be registered is left out (ResourceError if a package is missing).
    """
    volumes = dict(images.volumes)
    problems = list(images.problems)
    while volumes:
        try:
            packed, warnings = _pack(Study(volumes, name), config, threads)
            present = tuple(modality.value for modality in volumes)
            return PackedStudy(packed, present, tuple(problems), warnings)
        except InputError as error:
            problems.append(error.as_dict())
            faulty = [modality for modality, volume in volumes.items() if volume.source == error.source]
            if not faulty:
                break
            del volumes[faulty[0]]
    if not problems:
        none = InputError(
            "The study has other modalities only",
            remedy=f"Give at least one of {', '.join(GLIOMA_MODALITY_NAMES)}, or leave it out",
        )
        problems.append(none.as_dict())
    return PackedStudy(None, (), tuple(problems), ())


def _pack(study: Study, config: DatasetConfig, threads: int | None) -> tuple[np.ndarray, tuple[str, ...]]:
    check_study(study)
    prepared = prepare_study(study, threads=threads)
    volumes = prepared.study.volumes
    if config.intensities == "paper":
        volumes = {s: correct_bias_field(volume, threads=threads) for s, volume in volumes.items()}
    grid = resample_to_model_grid(Study(volumes, study.name), spacing_mm=config.spacing_mm, brain=prepared.brain)
    images = grid.images
    if config.intensities == "paper":
        images = np.stack([_to_paper_scale(image) for image in images])
    labels = np.zeros(grid.brain.shape, np.uint8)
    return Sample.pack(images, labels, voxel_weights(grid.images)).packed, prepared.warnings


def _to_paper_scale(image: np.ndarray) -> np.ndarray:
    """Scale values that differ from 0 from their range to 0 to `PAPER_SCALE`; 0 stays."""
    inside = image != 0
    low, high = float(image.min()), float(image.max())
    scaled = (image - low) * np.float32(PAPER_SCALE / ((high - low) or 1))
    return np.where(inside, scaled, 0).astype(np.float32)
