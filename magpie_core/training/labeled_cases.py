"""Real labeled cases in a folder, brought into the network's space and packed for training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import affine_transform

from magpie_core.errors import InputError
from magpie_core.imaging.label_schema import SCHEMAS, label_schema
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.io.discovery import read_study
from magpie_core.io.label_file import label_file
from magpie_core.io.segmentation_file import read_segmentation
from magpie_core.preprocessing.coregistration import coregister
from magpie_core.preprocessing.model_grid import prepare
from magpie_core.training.sample import MODALITIES, Sample
from magpie_core.training.voxel_weights import voxel_weights


def list_cases(folder: Path) -> list[Path]:
    """Case folders (those with a file of labels, see `label_file`) below `folder`, sorted by name.

    Raises
    ------
    InputError
        If there is none, or one has several files that could be its labels.
    """
    cases = sorted(
        case for case in folder.glob("*") if not case.name.startswith(".") and label_file(case) is not None
    )
    if not cases:
        raise InputError(
            "No labeled cases were found",
            cause="a case is a folder with its modalities and a file that ends in seg.nii.gz",
            source=str(folder),
        )
    return cases


def fold_cases(cases: list[Path], fold: int, folds: int) -> tuple[list[Path], list[Path]]:
    """Cases to train on and cases held out in fold `fold` of `folds`: every `folds`-th case by name.

    Raises
    ------
    InputError
        If there is no such fold, or it leaves no case to train on or none to hold out.
    """
    if folds < 2:
        raise InputError(
            f"{folds} is no number of folds", remedy="Use two folds or more, and at most one for each case"
        )
    if not 0 <= fold < folds:
        raise InputError(
            f"There is no fold {fold}",
            cause=f"the {folds} folds are numbered from 0 to {folds - 1}",
            remedy="Name one of them",
        )
    held_out = cases[fold::folds]
    taught = [case for case in cases if case not in held_out]
    if not taught or not held_out:
        raise InputError(
            f"Fold {fold} of {folds} leaves no case to {'train on' if held_out else 'hold out'}",
            cause=f"the number of cases is {len(cases)}",
            remedy="Use at most as many folds as there are cases, and at least two cases",
        )
    return taught, held_out


@dataclass(frozen=True)
class CaseReader:
    """Reads a case folder as a `Sample`.

    Attributes
    ----------
    schema
        Label schema of the `seg` files.
    spacing_mm
        Voxel size of the sample.
    """

    schema: str
    spacing_mm: float = 1.0

    def read(self, case: Path) -> Sample:
        """Read, scale and pack one case; labels are taken over by nearest neighbor.

        Raises
        ------
        InputError
            If a modality or the labels are missing, several files could be the labels, or a file is faulty.
        """
        labels = label_file(case)
        if labels is None:
            raise InputError(
                "The case has no labels",
                cause="there is no file that ends in seg.nii.gz",
                remedy="Put the expert's labels there as seg.nii.gz",
                source=str(case),
            )
        study = read_study(case)
        wanted = [Modality(name) for name in MODALITIES]
        missing = [name.value for name in wanted if name not in study.volumes]
        if missing:
            raise InputError(f"The case lacks {', '.join(missing)}", source=str(case))
        truth = read_segmentation(labels, schema=label_schema(self.schema))
        return pack_case(study, truth, self.spacing_mm, name=case.name)


def pack_case(study: Study, truth: Segmentation, spacing_mm: float, *, name: str) -> Sample:
    """Scale and pack a study with its labels; a modality that it lacks is zero, and poor slices weigh less."""
    labels = truth.schema.convert(truth.labels, SCHEMAS["magpie"])
    ready = coregister(study)
    working = prepare(ready.study, spacing_mm=spacing_mm, brain=ready.brain)
    images = np.zeros((len(MODALITIES), *working.images.shape[1:]), np.float32)
    for modality, image in zip(working.modalities, working.images, strict=True):
        if modality.value in MODALITIES:
            images[MODALITIES.index(modality.value)] = image
    placed = nearest(Volume(labels, truth.affine), working.affine, images.shape[1:])
    return Sample.pack(images, placed, voxel_weights(working.images), name=name)


def nearest(volume: Volume, affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Values of `volume` at the voxel centers of another grid, 0 beyond it."""
    to_source = np.linalg.inv(volume.affine) @ affine
    placed: np.ndarray = affine_transform(
        volume.data, to_source[:3, :3], to_source[:3, 3], output_shape=shape, order=0, mode="constant", cval=0
    )
    return placed
