"""One unlabelled study from its files to a packed sample; what is faulty is left out and told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from magpie_core.errors import InputError
from magpie_core.imaging.modality import Sequence
from magpie_core.imaging.study import Study
from magpie_core.imaging.study_checks import check_study
from magpie_core.imaging.volume import Volume
from magpie_core.io.nifti import read_volume
from magpie_core.preprocessing.bias_field import correct_bias_field
from magpie_core.preprocessing.coregistration import make_ready
from magpie_core.preprocessing.model_grid import prepare
from magpie_core.pretraining.dataset.config import PAPER_SCALE, CorpusRecipe
from magpie_core.pretraining.dataset.exclusions import image_hashes
from magpie_core.training.sample import SEQUENCES, Sample
from magpie_core.training.voxel_weights import voxel_weights

_FEWEST_SLICES = 8


@dataclass(frozen=True)
class ReadImages:
    """What could be read of a study.

    Attributes
    ----------
    volumes
        By sequence; those that a sample can hold.
    hashes
        Of each file and of what it shows.
    problems
        Errors' plain values for the files that were left out.
    """

    volumes: Mapping[Sequence, Volume]
    hashes: tuple[str, ...]
    problems: tuple[dict[str, str], ...]


@dataclass(frozen=True)
class PackedStudy:
    """An unlabelled study, packed.

    Attributes
    ----------
    packed
        (S + 1, D, H, W) uint8: the sequences that are there, in the order of `SEQUENCES`, then the weights (no labels).
        None if no image can be used.
    sequences
        Names of the S images.
    problems, warnings
        What was left out (errors' plain values), and what a user should look at.
    """

    packed: np.ndarray | None
    sequences: tuple[str, ...]
    problems: tuple[dict[str, str], ...]
    warnings: tuple[str, ...]


def read_images(files: Mapping[Sequence, Path]) -> ReadImages:
    """Read every file that can be read (those of other sequences than `SEQUENCES` are passed over)."""
    volumes: dict[Sequence, Volume] = {}
    hashes: list[str] = []
    problems = []
    for sequence, path in sorted(files.items(), key=lambda item: list(Sequence).index(item[0])):
        if sequence.value not in SEQUENCES:
            continue
        try:
            volume = read_volume(path)
            hashes += image_hashes(path, [volume])
            _refuse_few_slices(volume, sequence)
            volumes[sequence] = volume
        except InputError as error:
            problems.append(error.as_dict())
    return ReadImages(volumes, tuple(hashes), tuple(problems))


def packed_key(images: ReadImages, recipe: CorpusRecipe) -> str:
    """Name of the sample that these images and this recipe give, 32 hex digits."""
    digest = hashlib.sha256(f"1 {recipe.spacing_mm:g} {recipe.intensities}".encode())
    for sequence, volume in images.volumes.items():
        digest.update(f"{sequence} {volume.shape} {np.round(volume.affine, 6).tolist()}".encode())
        digest.update(np.ascontiguousarray(volume.data).tobytes())
    return digest.hexdigest()[:32]


def pack_unlabelled(
    images: ReadImages, recipe: CorpusRecipe, *, name: str = "", threads: int | None = None
) -> PackedStudy:
    """Align the images, find the brain where the whole head is shown, resample, scale and pack.

    An image that is faulty or cannot be aligned is left out; the others go on without it.

    Raises
    ------
    ResourceError
        If a package is missing.
    """
    volumes = dict(images.volumes)
    problems = list(images.problems)
    while volumes:
        try:
            packed, warnings = _pack(Study(volumes, name), recipe, threads)
            present = tuple(sequence.value for sequence in volumes)
            return PackedStudy(packed, present, tuple(problems), warnings)
        except InputError as error:
            problems.append(error.as_dict())
            faulty = [sequence for sequence, volume in volumes.items() if volume.source == error.source]
            if not faulty:
                break
            del volumes[faulty[0]]
    if not problems:
        none = InputError(
            "The study holds other sequences only",
            remedy=f"Give at least one of {', '.join(SEQUENCES)}, or leave it out",
        )
        problems.append(none.as_dict())
    return PackedStudy(None, (), tuple(problems), ())


def _pack(study: Study, recipe: CorpusRecipe, threads: int | None) -> tuple[np.ndarray, tuple[str, ...]]:
    check_study(study)
    ready = make_ready(study, threads=threads)
    volumes = ready.study.volumes
    change: Callable[[np.ndarray], np.ndarray] = lambda image: image  # noqa: E731
    if recipe.intensities == "paper":
        volumes = {s: correct_bias_field(volume, threads=threads) for s, volume in volumes.items()}
        change = _from_zero
    working = prepare(Study(volumes, study.name), spacing_mm=recipe.spacing_mm, brain=ready.brain)
    scaled = np.stack([change(image) for image in working.images])
    labels = np.zeros(working.brain.shape, np.uint8)
    return Sample.pack(scaled, labels, voxel_weights(working.images)).packed, ready.warnings


def _from_zero(image: np.ndarray) -> np.ndarray:
    """Values that differ from 0 scaled from their least to their largest, 0 to `PAPER_SCALE`; 0 stays."""
    inside = image != 0
    low, high = float(image.min()), float(image.max())
    scaled = (image - low) * np.float32(PAPER_SCALE / ((high - low) or 1))
    return np.where(inside, scaled, 0).astype(np.float32)


def _refuse_few_slices(volume: Volume, sequence: Sequence) -> None:
    if min(volume.shape) < _FEWEST_SLICES:
        raise InputError(
            f"The {sequence.label} has too few slices",
            cause=f"its size is {' x '.join(map(str, volume.shape))}: it may be a localiser",
            remedy="Leave it out",
            source=volume.source,
        )
