"""Real labeled cases in a folder, brought into the network's space and packed for training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from magpie_core.cohort.patient_names import patient_of
from magpie_core.errors import InputError
from magpie_core.imaging.glioma import Tissue
from magpie_core.imaging.label_schema import SCHEMAS, label_schema
from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES, Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.io.discovery import read_study
from magpie_core.io.segmentation_file import find_segmentation, read_segmentation
from magpie_core.preprocessing.preparation_cache import PreparationCache
from magpie_core.preprocessing.prepared_study import PreparedStudy
from magpie_core.preprocessing.resampling import resample_nearest
from magpie_core.training.sample import Sample
from magpie_core.training.voxel_weights import voxel_weights

_WITH_CAVITY = SCHEMAS["brats-2024"]  # that of the networks, and the cavity


def list_cases(folder: Path) -> list[Path]:
    """List the case folders (those with a file of labels) below `folder`, sorted by name.

    InputError if there is none, or one has several files that could be its labels.
    """
    cases = sorted(
        case for case in folder.glob("*") if not case.name.startswith(".") and find_segmentation(case) is not None
    )
    if not cases:
        raise InputError(
            "No labeled cases were found",
            cause="a case is a folder with its modalities and a file that ends in seg.nii.gz",
            source=str(folder),
        )
    return cases


def fold_cases(cases: list[Path], fold: int, folds: int) -> tuple[list[Path], list[Path]]:
    """Split into cases to train on and cases held out: every `folds`-th patient by name, from `fold` (0 is the first).

    Visits of one patient, by the names of their folders (`patient_of`), stay together.

    InputError if there is no such fold, or it leaves no case to train on or none to hold out.
    """
    if folds < 2 or not 0 <= fold < folds:
        raise InputError(
            f"There is no fold {fold} of {folds}",
            cause=f"two folds or more are numbered from 0 to {max(folds, 2) - 1}",
            remedy="Name one of them, and at most as many folds as there are patients",
        )
    patients = {patient_of(case.name): None for case in cases}
    chosen = set(list(patients)[fold::folds])
    held_out = [case for case in cases if patient_of(case.name) in chosen]
    training = [case for case in cases if case not in held_out]
    if not training or not held_out:
        raise InputError(
            f"Fold {fold} of {folds} leaves no case to {'train on' if held_out else 'hold out'}",
            cause=f"the number of cases is {len(cases)}, of patients {len(patients)}",
            remedy="Use at most as many folds as there are patients, and cases of at least two",
        )
    return training, held_out


@dataclass(frozen=True)
class CaseReader:
    """Reads case folders, with labels in `schema`, as samples; prepared images are looked for in `preparations`."""

    schema: str
    spacing_mm: float = 1.0
    preparations: PreparationCache | None = None

    def read(self, case: Path) -> Sample:
        """Read, prepare and pack one case (InputError if a modality or its labels are missing, ambiguous or faulty)."""
        labels = find_segmentation(case)
        if labels is None:
            raise InputError(
                "The case has no labels",
                cause="there is no file that ends in seg.nii.gz",
                remedy="Put the reference segmentation there as seg.nii.gz",
                source=str(case),
            )
        study = read_study(case)
        missing = [name for name in GLIOMA_MODALITY_NAMES if Modality(name) not in study.volumes]
        if missing:
            raise InputError(f"The case lacks {', '.join(missing)}", source=str(case))
        reference = read_segmentation(labels, schema=label_schema(self.schema))
        return pack_case(study, reference, self.spacing_mm, name=case.name, preparations=self.preparations)


def pack_case(
    study: Study, reference: Segmentation, spacing_mm: float, *, name: str, preparations: PreparationCache | None = None
) -> Sample:
    """Prepare and pack a study with its reference segmentation.

    The labels follow the registration of the image that they were drawn on, and are resampled by nearest neighbor. A
    modality that the study lacks is zero, poor slices weigh less, and a resection cavity, which no network segments,
    counts for nothing.
    """
    prepared = (preparations or PreparationCache(capacity=0)).prepare(study)
    grid = prepared.on_model_grid(spacing_mm)
    images = np.zeros((len(GLIOMA_MODALITY_NAMES), *grid.images.shape[1:]), np.float32)
    for modality, image in zip(grid.modalities, grid.images, strict=True):
        if modality.value in GLIOMA_MODALITY_NAMES:
            images[GLIOMA_MODALITY_NAMES.index(modality.value)] = image
    moved = prepared.move_with_images(reference)
    labels = Volume(moved.schema.convert(moved.labels, _WITH_CAVITY), moved.affine)
    placed = resample_nearest(labels, grid.affine, images.shape[1:])
    cavity = _WITH_CAVITY.region_mask(placed, Tissue.RC)
    weights = np.where(cavity, 0.0, voxel_weights(grid.images))
    return Sample.pack(images, np.where(cavity, 0, placed), weights, name=name)


def place_on_labels(predicted: Segmentation, reference: Segmentation, prepared: PreparedStudy) -> Segmentation:
    """Return a segmentation of a prepared study on the grid that labels were drawn on, by nearest neighbor."""
    moved = prepared.move_with_images(reference)
    if predicted.geometry.matches(moved.geometry, 0.05):
        return predicted
    volume = Volume(predicted.labels, predicted.affine)
    labels = resample_nearest(volume, moved.affine, moved.labels.shape)
    return Segmentation(labels, reference.affine, predicted.schema, predicted.source)
