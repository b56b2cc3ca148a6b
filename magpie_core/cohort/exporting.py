"""Export a cohort to other programs' folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from magpie_core.cohort.cohort import Cohort
from magpie_core.errors import InputError
from magpie_core.imaging.label_schema import SCHEMAS
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.io.discovery import read_study
from magpie_core.io.nifti import write_volume
from magpie_core.io.segmentation_file import read_segmentation, write_segmentation
from magpie_core.storage.atomic import write_bytes


def export_nnunet(cohort: Cohort, target: Path) -> Path:
    """Write the cohort as an nnU-Net raw dataset (`imagesTr`, `labelsTr`, `dataset.json`) to a new folder.

    Only the modalities that every case has are written, because nnU-Net's channels are fixed.

    Raises:
        InputError: If the folder exists, the cohort is empty, or no modality is in all cases.
    """
    cases = cohort.cases()
    common = [name for name in Modality if cases and all(name in case.images for case in cases)]
    if target.exists() or not common:
        raise InputError(
            "Cannot export the cohort",
            cause="the folder exists already" if target.exists() else "no modality is in all of its cases",
            source=str(target),
        )
    scratch = target.with_name(f".{target.name}.part")
    shutil.rmtree(scratch, ignore_errors=True)
    for part in ("imagesTr", "labelsTr"):
        (scratch / part).mkdir(parents=True)
    wanted = SCHEMAS["magpie"]
    for case in cases:
        study = read_study(case.images, name=case.name)
        labels = read_segmentation(case.labels)
        for number, name in enumerate(common):
            write_volume(study.volumes[name], scratch / "imagesTr" / f"{case.name}_{number:04d}.nii.gz")
        converted = Segmentation(labels.schema.convert(labels.labels, wanted), labels.affine, wanted)
        write_segmentation(converted, scratch / "labelsTr" / f"{case.name}.nii.gz")
        (scratch / "labelsTr" / f"{case.name}.json").unlink()
    described = {
        "channel_names": {str(number): name.value for number, name in enumerate(common)},
        "labels": {"background": 0} | {tissue.value: value for value, tissue in wanted.labels.items()},
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
    }
    write_bytes(scratch / "dataset.json", (json.dumps(described, indent=2) + "\n").encode())
    scratch.rename(target)
    return target


def export_datalist(cohort: Cohort, target: Path, *, folds: int = 5) -> Path:
    """Write a MONAI datalist (JSON; image paths relative to the cohort, fold of each case); raises like `folds`."""
    rows = [
        {
            "image": [str(path.relative_to(cohort.folder)) for path in case.images.values()],
            "label": str(case.labels.relative_to(cohort.folder)),
            "fold": fold,
        }
        for fold, cases in enumerate(cohort.folds(folds))
        for case in cases
    ]
    write_bytes(target, (json.dumps({"training": rows}, indent=2) + "\n").encode())
    return target
