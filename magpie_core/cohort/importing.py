"""Import cases from other programs' folders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from magpie_core.cohort.cohort import TRASH_FOLDERS, Cohort
from magpie_core.errors import InputError, MagpieError, errors_about
from magpie_core.imaging.label_schema import LabelSchema, label_schema
from magpie_core.imaging.modality import Modality
from magpie_core.io.discovery import parse_modalities, read_study
from magpie_core.io.file_names import is_nifti, stem
from magpie_core.io.segmentation_file import find_segmentation, read_segmentation
from magpie_core.storage.config import read_mapping


@dataclass(frozen=True)
class Imported:
    """The outcome for one labeled case: its name in the cohort, or the problem why it was left out."""

    source: Path
    case: str | None
    problem: str | None = None


def import_folder(cohort: Cohort, folder: Path, *, schema: LabelSchema | str | None, user: str = "") -> list[Imported]:
    """Add every labeled case below a folder; leave out, with the reason, what cannot be added.

    Known layouts: a folder per case with its modalities and `...seg.nii.gz` (BraTS, BIDS derivatives), and
    `imagesTr`, `labelsTr` with `dataset.json` (nnU-Net raw, Medical Segmentation Decathlon).

    Args:
        schema: Label schema; None if every segmentation has its own sidecar.

    Raises:
        InputError: If there is no labeled case, or the schema is unknown.
    """
    schema = label_schema(schema) if isinstance(schema, str) else schema
    found = list(_decathlon_cases(folder) if (folder / "dataset.json").is_file() else _folder_cases(folder))
    if not found:
        raise InputError(
            "Found no labeled cases",
            cause="a case is a folder with its modalities and a file that ends in seg.nii.gz, "
            "or a pair in imagesTr and labelsTr beside dataset.json",
            source=str(folder),
        )
    results = []
    for source, place, order, patient in found:
        labels = place
        try:
            labels = (find_segmentation(place) or place) if place.is_dir() else place
            study = read_study(source, order=order)
            case = cohort.add(study, read_segmentation(labels, schema), patient=patient, user=user)
            results.append(Imported(labels, case.name))
        except MagpieError as error:
            results.append(Imported(labels, None, str(error)))
    return results


Found = tuple[Path | dict[Modality, Path], Path, tuple[Modality, ...] | None, str]


def _folder_cases(folder: Path) -> Iterator[Found]:
    """Yield case folder, folder of its segmentation, no order, patient."""
    for place in sorted({path.parent for path in folder.rglob("*seg.nii.gz") if is_nifti(path)}):
        inside = place.relative_to(folder).parts
        names = sorted(path.name for path in place.glob("*seg.nii.gz") if is_nifti(path))
        if any(part.startswith(".") or part in TRASH_FOLDERS for part in inside):
            continue
        subjects = [found[1] for part in (*inside, *names) if (found := re.match("sub-([A-Za-z0-9]+)", part))]
        case = place
        if "derivatives" in inside and f"sub-{subjects[0] if subjects else ''}" in inside:
            # BIDS keeps the images apart from their derivatives.
            case = folder.joinpath(*inside[inside.index(f"sub-{subjects[0]}") :])
        yield case, place, None, subjects[0] if subjects else case.name


def _decathlon_cases(folder: Path) -> Iterator[Found]:
    """Yield image file or files, segmentation file, order of the channels, patient."""
    description = folder / "dataset.json"
    try:
        described = read_mapping(description)
    except ValueError as error:
        problem = "Cannot read the description of the dataset"
        raise InputError(problem, cause=str(error), source=str(description)) from error
    channels = described.get("channel_names") or described.get("modality") or {}
    with errors_about(description):
        order = parse_modalities(str(channels[key]) for key in sorted(channels, key=int))
    for labels in sorted((folder / "labelsTr").glob("*.nii.gz")):
        if labels.name.startswith("."):
            continue
        name = stem(labels)
        together = folder / "imagesTr" / labels.name
        if together.is_file():
            yield together, labels, order, name
            continue
        files = [folder / "imagesTr" / f"{name}_{number:04d}.nii.gz" for number in range(len(order))]
        yield dict(zip(order, files, strict=True)), labels, None, name
