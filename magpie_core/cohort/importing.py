"""Add labeled cases with all checks: one, or all of another program's folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from magpie_core.cohort.case import Case, check_segmentation
from magpie_core.cohort.cohort import TRASH_FOLDERS, Cohort
from magpie_core.cohort.contents import cohort_at
from magpie_core.cohort.identity import local_names
from magpie_core.cohort.label_checks import (
    check_content,
    fitting_images,
    only_core,
    place_on_image,
    same_elsewhere,
    volumes_ml,
)
from magpie_core.cohort.label_options import LabelOptions
from magpie_core.cohort.patient_names import is_generic, patient_of, patient_of_path
from magpie_core.errors import InputError, MagpieError, errors_about
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.io.discovery import find_modalities, parse_modalities, read_study
from magpie_core.io.file_names import is_label_map, is_nifti, label_stem
from magpie_core.io.folders import list_files
from magpie_core.io.segmentation_file import find_segmentation, read_segmentation
from magpie_core.preprocessing.preparation_cache import PreparationCache
from magpie_core.preprocessing.prepared_study import PreparedStudy
from magpie_core.progress import Progress, no_progress, part_of
from magpie_core.storage.config import read_mapping
from magpie_core.storage.csv_table import read_rows


@dataclass(frozen=True)
class Imported:
    """The outcome for one labeled case.

    Attributes:
        source: The file of its segmentation, or the folder.
        case: Its name in the cohort; None if it was left out.
        problem: Why it was left out.
        patient: The patient, as the data set names it.
        volumes_ml: What was stored, by tissue.
    """

    source: Path
    case: str | None
    problem: str | None = None
    patient: str = ""
    volumes_ml: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Found:
    """A labeled case: images, file or folder of the segmentation, patient, name, order of the images in one file."""

    images: Path | Mapping[Modality, Path]
    labels: Path
    patient: str
    name: str
    order: tuple[Modality, ...] | None = None


class Added(NamedTuple):
    """A case of the cohort, the milliliters of each tissue that were stored, and warnings."""

    case: Case
    volumes_ml: Mapping[str, float]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Labeled:
    """A study with its segmentation, both checked, to be added to a cohort."""

    study: Study
    labels: Segmentation
    proposal: Segmentation | None
    prepared: PreparedStudy

    def add_to(self, cohort: Cohort, **details: Any) -> Added:
        """Add both with how the images were prepared; details and errors as of `Cohort.add`."""
        same = same_elsewhere(self.labels, cohort)
        preparation = self.prepared if self.prepared.changed else None
        case = cohort.add(self.study, self.labels, proposal=self.proposal, preparation=preparation, **details)
        warnings = tuple(filter(None, (same, only_core(self.labels), *self.study.warnings, *self.prepared.warnings)))
        return Added(case, volumes_ml(self.labels), warnings)


def read_labeled(
    study: Study,
    file: Path,
    options: LabelOptions,
    preparations: PreparationCache,
    *,
    proposal: Path | None = None,
    progress: Progress = no_progress,
) -> Labeled:
    """Read and check the segmentation of a study, and prepare the images.

    Args:
        file: The segmentation.
        proposal: Segmentation by the model, to measure the correction.

    Raises:
        InputError: If the segmentation cannot be used, or something is not confirmed (`ConfirmationNeeded`).
    """
    labels = read_segmentation(file, options.schema, override=options.override_schema)
    before = None if proposal is None else read_segmentation(proposal)
    fitting = fitting_images(labels, study, options.drawn_on)
    prepared = preparations.prepare(study, progress=part_of(progress, 0.0, 0.9))
    placed = place_on_image(fitting, study, prepared)
    check_content(placed, prepared, options)
    check_segmentation(study, placed)
    return Labeled(study, placed, before and (before.on_grid(placed.geometry) or before), prepared)


def import_folder(
    cohort: Cohort,
    folder: Path,
    *,
    schema: str | None = None,
    options: LabelOptions | None = None,
    patients: Path | None = None,
    user: str = "",
    progress: Progress = no_progress,
    **reading: Any,
) -> list[Imported]:
    """Add every labeled case below a folder; leave out, with the reason, what cannot be added.

    Known layouts: another cohort; a folder per case with its modalities and `...seg.nii.gz` (BraTS, BIDS derivatives);
    and `imagesTr`, `labelsTr` with `dataset.json` (nnU-Net raw, Medical Segmentation Decathlon).

    Args:
        schema: Label schema; None if the data say what the labels mean. It goes before that of `options`.
        patients: CSV file of lines "case,patient", for names that do not state the patient (`patient_of_path`).
        reading: As of `read_study`: order, orientation, repair.

    Raises:
        InputError: If there is no labeled case, the schema is unknown, or the folder is a cohort with changed files.
    """
    options = options or LabelOptions()
    options = replace(options, schema=schema or options.schema)
    if options.schema:
        label_schema(options.schema)
    if not folder.is_dir():
        raise InputError("There is no such folder", remedy="Check its path", source=str(folder))
    known = _read_patients(patients) if patients is not None else {}
    other = cohort_at(folder)
    if other is not None:
        found = [_Found(case.images, case.labels, case.patient, case.name) for case in other.verified_cases()]
    else:
        found = list(_decathlon_cases(folder) if (folder / "dataset.json").is_file() else _folder_cases(folder))
    if not found:
        raise InputError(
            "Found no labeled cases",
            cause="a case is a folder with its modalities and a file that ends in seg.nii.gz, "
            "or a pair in imagesTr and labelsTr beside dataset.json",
            source=str(folder),
        )
    cache = PreparationCache()
    names = local_names()
    results = []
    for number, one in enumerate(found):
        labels, patient = one.labels, one.patient
        progress(number / len(found), one.name)
        try:
            labels = (find_segmentation(labels) or labels) if labels.is_dir() else labels
            name = one.images.name if isinstance(one.images, Path) else label_stem(labels)
            patient = known.get(name, known.get(label_stem(labels), patient))
            study = read_study(one.images, **{**reading, **({"order": one.order} if one.order else {})})
            case, ml, warnings = read_labeled(study, labels, options, cache).add_to(
                cohort, patient=patient, user=user, local_name=names.get(one.name, one.name)
            )
            results.append(Imported(labels, case.name, None, patient, ml, warnings))
        except MagpieError as error:
            if error.exit_code == 130:
                raise
            results.append(Imported(labels, None, str(error), patient))
    if other is not None:
        added = next((number for number, one in enumerate(results) if one.case is not None), None)
        notes = (*_salt_note(cohort, other), *other.unlisted())
        if added is not None and notes:
            results[added] = replace(results[added], warnings=(*results[added].warnings, *notes))
        return results
    return results + [
        Imported(place, None, f"{place}: The folder has images but no segmentation.")
        for place in _unlabeled(folder, found)
    ]


def _salt_note(cohort: Cohort, other: Cohort) -> list[str]:
    if cohort.has_salt_of(other):
        return []
    return [
        f"{other.folder} was made at another site: a patient whose visits are in both cohorts is not recognized, and "
        "counts as two. If there are such patients, name them in a table (--patients)."
    ]


def _folder_cases(folder: Path) -> Iterator[_Found]:
    """Yield every case folder that holds a segmentation."""
    files = (path for path in list_files(folder) if is_label_map(path) and label_stem(path).endswith("seg"))
    for place in sorted({path.parent for path in files}):
        inside = place.relative_to(folder).parts
        if _is_apart(inside):
            continue
        names = sorted(label_stem(path) for path in place.iterdir() if is_label_map(path))
        subject = next((part for part in (*inside, *names) if part.startswith("sub-")), "")
        case = place
        if "derivatives" in inside and subject in inside:
            # BIDS keeps the images apart from their derivatives.
            case = folder.joinpath(*inside[inside.index(subject) :])
        patient = patient_of(subject) if subject else patient_of_path(inside, folder.absolute().name)
        parts = [part for part in inside if not is_generic(part)]
        stem = next((stem for stem in names if stem.startswith("sub-") and stem.endswith("seg")), "")
        name = stem.rpartition("_")[0] or "/".join(parts) or place.absolute().name
        yield _Found(case, place, patient, name)


def _decathlon_cases(folder: Path) -> Iterator[_Found]:
    """Yield every case of a dataset of nnU-Net or MSD."""
    description = folder / "dataset.json"
    try:
        values = read_mapping(description)
    except ValueError as error:
        problem = "Cannot read the description of the dataset"
        raise InputError(problem, cause=str(error), source=str(description)) from error
    channels = values.get("channel_names") or values.get("modality") or {}
    with errors_about(description):
        order = parse_modalities(str(channels[key]) for key in sorted(channels, key=int))
    for labels in sorted((folder / "labelsTr").glob("*")):
        if not is_label_map(labels):
            continue
        name = label_stem(labels)
        ending = labels.name[len(name) :]
        together = folder / "imagesTr" / labels.name
        if together.is_file():
            yield _Found(together, labels, patient_of(name), name, order)
            continue
        files = [folder / "imagesTr" / f"{name}_{number:04d}{ending}" for number in range(len(order))]
        yield _Found(dict(zip(order, files, strict=True)), labels, patient_of(name), name)


def _unlabeled(folder: Path, found: list[_Found]) -> list[Path]:
    """Return the folders with images of a study that no segmentation is of; for nnU-Net the images themselves."""
    if (folder / "imagesTr").is_dir():
        names = {label_stem(one.labels) for one in found}
        images = {path for path in (folder / "imagesTr").iterdir() if is_nifti(path)}
        return sorted(path for path in images if not {label_stem(path), label_stem(path)[:-5]} & names)
    used = {place for one in found for place in (one.images, one.labels) if isinstance(place, Path)}
    places = sorted({path.parent for path in list_files(folder) if is_nifti(path)} - used)
    places = [
        place for place in places if not any(place.is_relative_to(one) or one.is_relative_to(place) for one in used)
    ]
    inside = {place: place.relative_to(folder).parts for place in places}
    return [
        place
        for place, parts in inside.items()
        if not _is_apart(parts) and "derivatives" not in parts and _has_images(place)
    ]


def _has_images(folder: Path) -> bool:
    try:
        return bool(find_modalities(folder))
    except InputError:
        return False


def _is_apart(inside: tuple[str, ...]) -> bool:
    """Whether a place below the folder is hidden, or the trash of a cohort."""
    return any(part.startswith(".") or part in TRASH_FOLDERS for part in inside)


def _read_patients(path: Path) -> dict[str, str]:
    rows = read_rows(path)
    wrong = next((row for row in rows if len(row) != 2), None)
    if wrong is not None:
        raise InputError("A line of the table is not 'case,patient'", cause=" ".join(wrong), source=str(path))
    return {row[0]: row[1] for row in rows}
