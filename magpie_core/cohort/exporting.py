"""Export a cohort to other programs' folders: one label schema, one grid a case, one order of channels."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from magpie_core.cohort.aligned_case import AlignedCase, align_case
from magpie_core.cohort.bids import BIDS_MODALITIES as BIDS, write_bids_case, write_bids_dataset
from magpie_core.cohort.case import Case
from magpie_core.cohort.cohort import Cohort
from magpie_core.errors import InputError
from magpie_core.imaging.glioma import Tissue
from magpie_core.imaging.label_schema import SCHEMAS, LabelSchema
from magpie_core.imaging.modality import Modality
from magpie_core.io.nifti import encode, write_volume
from magpie_core.io.segmentation_file import read_segmentation
from magpie_core.preprocessing.preparation_cache import PreparationCache
from magpie_core.progress import Progress, no_progress
from magpie_core.storage.atomic import staged, staged_folder, write_bytes, write_errors

LAYOUTS = ("nnunet", "datalist", "bids")
_MOST_FOLDS = 5


@dataclass(frozen=True)
class Export:
    """What was written, and what of the cohort was left out or changed, as sentences."""

    path: Path
    notes: tuple[str, ...]


def export_cohort(
    cohort: Cohort,
    target: Path,
    layout: str,
    *,
    modalities: Sequence[Modality] = (),
    folds: int | None = None,
    progress: Progress = no_progress,
) -> Export:
    """Write the cases of a cohort for another program; nothing is overwritten, and all is written or nothing.

    Images are co-registered and lie on the grid of the labels, which are never interpolated. Labels have the integers
    of "magpie", or of "brats-2024" (the same, and the resection cavity) if a case holds one.

    Args:
        target: A new folder: an nnU-Net raw dataset ("nnunet") or BIDS derivatives ("bids"). A new JSON file for
            MONAI's "datalist", whose images and labels lie in a folder of the same name beside it.
        layout: One of `LAYOUTS`.
        modalities: Those to write; nnU-Net and datalist leave out cases that lack one. By default BIDS holds all that
            it has names for, nnU-Net and datalist those that all cases have. Channels are in canonical order.
        folds: Folds of nnU-Net and datalist (default: 5, or as many as there are patients); all visits of a patient
            lie in one.

    Raises:
        InputError: If the layout is unknown, the target exists or lies in the cohort, a file was changed since it was
            added, there is no case or no common modality, or too few patients for the folds.
        ResourceError: If it cannot be written, or images must be co-registered and a package for it is missing.
    """
    if layout not in LAYOUTS:
        raise InputError(f"There is no layout {layout!r}", remedy=f"Use {', '.join(LAYOUTS)} (--as)")
    target = Path(target)
    folder = target.with_suffix("") if layout == "datalist" else target
    _refuse_place(cohort, target, folder, layout)
    cases, kept, notes = _select(cohort.verified_cases(), tuple(modalities), layout)
    schema = _schema(cases)
    split = {} if layout == "bids" else _folds(cohort, folds, needed=layout == "datalist" or folds is not None)
    work = _Work(cohort, cases, kept, schema, split)
    if layout == "datalist":
        with write_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        with staged(target, _datalist(work, folder.name)) as place:
            notes += _write_folder(work, folder, layout, progress)
            place()
    else:
        notes += _write_folder(work, folder, layout, progress)
    return Export(target, tuple(notes))


@dataclass(frozen=True)
class _Work:
    """What an export writes; `split` is the fold of each case by its name, empty where there are no folds."""

    cohort: Cohort
    cases: Sequence[Case]
    modalities: Sequence[Modality]
    schema: LabelSchema
    split: Mapping[str, int]

    def described(self, key: str) -> dict[str, object]:
        return {
            "name": self.cohort.name,
            key: {str(number): modality.value for number, modality in enumerate(self.modalities)},
            "labels": {"background": 0} | {tissue.value: value for value, tissue in self.schema.labels.items()},
            "numTraining": len(self.cases),
        }


def _write_folder(work: _Work, folder: Path, layout: str, progress: Progress) -> list[str]:
    """Write all files but a datalist; return a sentence for each case that was resampled, and on the splits."""
    records = [case.preparation for case in work.cases if case.preparation is not None]
    preparations = PreparationCache(records=records, capacity=0)
    notes = []
    with staged_folder(folder, ours=(), last="") as scratch:
        for number, case in enumerate(work.cases):
            progress(number / len(work.cases), case.name)
            aligned = align_case(case, work.schema, preparations)
            notes += [aligned.note] if aligned.note else []
            if layout == "bids":
                write_bids_case(scratch, aligned, work.modalities)
            else:
                _write_channels(scratch, aligned, work.modalities)
        if layout == "bids":
            write_bids_dataset(scratch, work.cohort.name, work.schema)
        elif layout == "nnunet":
            _write_json(scratch / "dataset.json", work.described("channel_names") | {"file_ending": ".nii.gz"})
            notes += _write_splits(scratch, work)
            if not re.fullmatch(r"Dataset\d{3}_.+", folder.name):
                notes.append("nnU-Net finds a dataset by the name of its folder, such as Dataset001_Glioma.")
    return notes


def _refuse_place(cohort: Cohort, target: Path, folder: Path, layout: str) -> None:
    """Raise InputError if the target is taken, lies in the cohort, or is no JSON file where one is meant."""
    inside = target.absolute().resolve().is_relative_to(cohort.folder.resolve())
    taken = [path for path in dict.fromkeys((target, folder)) if os.path.lexists(path)]
    if layout == "datalist" and target.suffix.lower() != ".json":
        cause, remedy = "a datalist is a file whose name ends in .json", f"Name the file, such as {target.name}.json"
    elif taken:
        cause, remedy = f"{taken[0]} exists already, and nothing is overwritten", "Choose another name, or delete it"
    elif inside:
        cause, remedy = "the target lies in the cohort itself", "Choose a place outside of the cohort's folder"
    else:
        return
    raise InputError("Cannot export the cohort", cause=cause, remedy=remedy, source=str(target))


def _select(
    cases: list[Case], wanted: tuple[Modality, ...], layout: str
) -> tuple[list[Case], list[Modality], list[str]]:
    """Return the cases and the modalities to write, in canonical order, and a sentence for all that is left out."""
    if not cases:
        raise InputError("Cannot export the cohort", cause="it has no cases", remedy="Add cases (magpie cohort add)")
    present = [key for key in Modality if any(key in case.images for case in cases)]
    lacking = {key: [case.name for case in cases if key not in case.images] for key in Modality}
    kept = [key for key in present if key in wanted] if wanted else present
    notes = [f"{key.label} is in no case." for key in wanted if key not in present]
    if layout == "bids":
        notes += [f"{key.label} is left out: BIDS has no such anatomical image." for key in kept if key not in BIDS]
        kept = [key for key in kept if key in BIDS]
        notes += [f"{key.label} is missing in {', '.join(lacking[key])}." for key in kept if lacking[key]]
        chosen = [case for case in cases if any(key in case.images for key in kept)]
        notes += [f"{case.name} is left out: it has none of these." for case in cases if case not in chosen]
    elif wanted:
        short = {case.name: [key.label for key in kept if key not in case.images] for case in cases}
        chosen = [case for case in cases if not short[case.name]]
        notes += [f"{name} is left out: it lacks {', '.join(keys)}." for name, keys in short.items() if keys]
    else:
        chosen, kept = cases, [key for key in present if not lacking[key]]
        for names in dict.fromkeys(tuple(lacking[key]) for key in present if lacking[key]):
            keys = ", ".join(key.label for key in present if tuple(lacking[key]) == names)
            notes.append(f"Left out, since all cases need the same channels: {keys}, missing in {', '.join(names)}.")
        notes += ["To leave out such cases instead, name all modalities (--modalities)."] if notes else []
    if not kept or not chosen:
        raise InputError(
            "Cannot export the cohort",
            cause="no modality is left. " + " ".join(notes) if not kept else "no case is left. " + " ".join(notes),
            remedy="Name other modalities (--modalities), or export to BIDS (--as bids), which needs no common ones",
        )
    return chosen, kept, notes


def _folds(cohort: Cohort, number: int | None, *, needed: bool) -> dict[str, int]:
    """Return the fold of each case by its name; empty where none is needed and all cases are of one patient."""
    patients = len({case.patient for case in cohort.cases()})
    if patients < 2 and not needed:
        return {}
    folds = cohort.folds(min(_MOST_FOLDS, max(patients, 2)) if number is None else number)
    return {case.name: fold for fold, cases in enumerate(folds) for case in cases}


def _schema(cases: Iterable[Case]) -> LabelSchema:
    """Return the schema of the networks, or, where a case holds a resection cavity, the one that has it too."""
    cavity = any(read_segmentation(case.labels).mask(Tissue.RC).any() for case in cases)
    return SCHEMAS["brats-2024" if cavity else "magpie"]


def _write_channels(folder: Path, case: AlignedCase, channels: Sequence[Modality]) -> None:
    for number, modality in enumerate(channels):
        path = folder / "imagesTr" / f"{case.name}_{number:04d}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        write_volume(case.images[modality], path)
    path = folder / "labelsTr" / f"{case.name}.nii.gz"
    path.parent.mkdir(exist_ok=True)
    write_bytes(path, encode(case.labels.labels, case.labels.affine, path))


def _datalist(work: _Work, folder: str) -> bytes:
    """Return the datalist as MONAI and the Medical Segmentation Decathlon read it; paths relative to the file."""
    labels = {"0": "background"} | {str(value): tissue.value for value, tissue in work.schema.labels.items()}
    channels = range(len(work.modalities))
    rows = [
        {
            "image": [f"{folder}/imagesTr/{case.name}_{number:04d}.nii.gz" for number in channels],
            "label": f"{folder}/labelsTr/{case.name}.nii.gz",
            "fold": work.split[case.name],
        }
        for case in work.cases
    ]
    return (json.dumps({**work.described("modality"), "labels": labels, "training": rows}, indent=2) + "\n").encode()


def _write_splits(folder: Path, work: _Work) -> list[str]:
    """Write nnU-Net's splits by patient; a sentence on what to do with them where a patient has several visits."""
    names = [case.name for case in work.cases]
    folds = [
        {
            "train": [name for name in names if work.split[name] != fold],
            "val": [name for name in names if work.split[name] == fold],
        }
        for fold in sorted({work.split[name] for name in names if work.split})
    ]
    if len(folds) > 1:
        _write_json(folder / "splits_final.json", folds)
    if len(folds) < 2 or len({case.patient for case in work.cases}) == len(names):
        return []
    return [
        "Some patients have several visits, which nnU-Net's own folds would separate: copy splits_final.json to the "
        "dataset's folder in nnUNet_preprocessed before training."
    ]


def _write_json(path: Path, values: object) -> None:
    write_bytes(path, (json.dumps(values, indent=2) + "\n").encode())
