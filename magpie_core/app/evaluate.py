"""Use case: score segmentations against reference segmentations."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from magpie_core.errors import InputError, MagpieError
from magpie_core.progress import Progress, no_progress

if TYPE_CHECKING:
    from magpie_core.cohort.case import Case
    from magpie_core.cohort.cohort import Cohort
    from magpie_core.imaging.segmentation import Segmentation
    from magpie_core.imaging.study import Study


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest:
    """Segmentations to score."""

    predictions: Annotated[Path, "Folder: CASE/segmentation.nii.gz or CASE.nii.gz."]
    references: Annotated[Path, "Folder of reference segmentations: CASE/seg.nii.gz or CASE.nii.gz; or a cohort."]
    reference_schema: Annotated[
        str | None, "Label schema of the reference segmentations: magpie, brats-2022, brats-2023, brats-2024 or msd."
    ] = None
    prediction_schema: Annotated[str | None, "Label schema of predictions without a sidecar."] = None
    lesions: Annotated[bool, "Score surfaces, single lesions (BraTS 2023) and satellites too."] = False
    pictures: Annotated[
        Path | None, "Folder for pictures of the worst tenth; their images lie beside the reference segmentations."
    ] = None
    sites: Mapping[str, str] | None = None


@dataclass(frozen=True)
class EvaluateResult:
    """Scores as plain values (see `evaluate_folders`), and what a reader of them must know."""

    table: Mapping[str, Any]
    warnings: tuple[str, ...]


@dataclass
class _Sources:
    """Where predictions, references and images lie, by case."""

    predictions: Mapping[str, Path]
    references: Mapping[str, Path]
    read_images: Callable[[str], Study]
    place: Callable[[str, Segmentation, Segmentation], Segmentation] | None
    warnings: list[str]


def evaluate(request: EvaluateRequest, *, progress: Progress = no_progress) -> EvaluateResult:
    """Compute Dice and HD95 of each region per case, and their means, as `evaluate_folders` does; draw the worst.

    Where the references are a cohort, the result of a case is the one of its name, else the one whose study has the
    same content; a segmentation on another grid is brought to that of the labels, along with the images.
    """
    from magpie_core.cohort.contents import cohort_at
    from magpie_core.evaluation.evaluate_folders import evaluate_folders, prediction_files, reference_files
    from magpie_core.io.discovery import read_study

    predictions = prediction_files(request.predictions)
    cohort = cohort_at(request.references)
    if cohort is None:
        references = reference_files(request.references)
        sources = _Sources(predictions, references, lambda case: read_study(request.references / case), None, [])
    else:
        sources = _from_cohort(cohort, predictions, request)
    table = evaluate_folders(
        sources.predictions,
        sources.references,
        place=sources.place,
        reference_schema=request.reference_schema,
        prediction_schema=request.prediction_schema,
        lesions=request.lesions,
        sites=request.sites,
        progress=progress,
    )
    if request.pictures is not None:
        sources.warnings += _draw(table["worst"], sources, request, request.pictures)
    return EvaluateResult(table, tuple(sources.warnings))


def _from_cohort(cohort: Cohort, predictions: Mapping[str, Path], request: EvaluateRequest) -> _Sources:
    """Find the prediction of every case of a cohort (InputError if one has none, or a file was changed)."""
    from magpie_core.cohort.contents import case_of
    from magpie_core.io.discovery import read_study
    from magpie_core.preprocessing.preparation_cache import PreparationCache
    from magpie_core.training.labeled_cases import place_on_labels

    if request.reference_schema is not None:
        problem = "The label schema of a cohort's cases is known"
        raise InputError(problem, remedy="Leave out --reference-schema", source=str(request.references))
    cases = {case.name: case for case in cohort.verified_cases()}
    reports = {name: _report(path) for name, path in predictions.items()}
    named = {name: name for name in predictions if name in cases}
    for name, report in reports.items():
        if name not in named and (case := case_of([report.get("reference_fingerprint", "")], cases.values())):
            if case.name in named.values():
                first = next(one for one, other in named.items() if other == case.name)
                raise InputError(
                    f"There is more than one segmentation of the case {case.name}",
                    cause=f"the images of {first} and {name} are the same",
                    remedy="Remove all but one of them",
                    source=str(request.predictions),
                )
            named[name] = case.name
    missing = [name for name in cases if name not in named.values()]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(cases)} cases of the cohort have no segmentation",
            cause=f"none for {', '.join(missing)}",
            remedy=f"Segment the cohort first: magpie batch {request.references} -o FOLDER",
            source=str(request.predictions),
        )
    records = [case.preparation for case in cases.values() if case.preparation is not None]
    preparations = PreparationCache(records=records, capacity=1)
    warnings = _trained_on(cases.values(), [reports[name] for name in named])

    def read_images(case: str) -> Study:
        return read_study(cases[case].images, name=case)

    def place(case: str, prediction: Segmentation, reference: Segmentation) -> Segmentation:
        if prediction.geometry.matches(reference.geometry, 0.05):
            return prediction
        warnings.append(f"{case}: the segmentation was brought to the grid of the labels.")
        return place_on_labels(prediction, reference, preparations.prepare(read_images(case)))

    others = {name: path for name, path in predictions.items() if name not in named}
    found = {case: predictions[name] for name, case in named.items()}
    return _Sources(found | others, {name: case.labels for name, case in cases.items()}, read_images, place, warnings)


def _report(segmentation: Path) -> dict[str, Any]:
    """Return the report beside a segmentation; empty if there is none."""
    try:
        report = json.loads(segmentation.with_name("report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def _trained_on(cases: Iterable[Case], reports: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each of the site's versions that was trained on patients that it is scored on."""
    from magpie_core.cohort.seen import Seen
    from magpie_core.models.description import read_description
    from magpie_core.models.registry import site_versions
    from magpie_core.storage.manifest import MANIFEST_NAME, file_hash

    used = {report["model"]["sha256"] for report in reports if "model" in report}
    warnings = []
    for version in site_versions().versions() if used else []:
        manifest = version.model / MANIFEST_NAME
        if not manifest.is_file() or file_hash(manifest) not in used:
            continue
        trained_on = Seen.by(read_description(version.model).training)
        seen = [case.name for case in cases if trained_on.holds(case)]
        if seen:
            warnings.append(
                f"The version {version.name} was trained on patients that it is scored on here, so these scores do "
                f"not tell how good it is on others: {', '.join(seen)}"
            )
    return warnings


def _draw(cases: list[str], sources: _Sources, request: EvaluateRequest, folder: Path) -> list[str]:
    """Draw overviews of prediction and reference where the case has images; what could not be drawn."""
    from magpie_core.io.segmentation_file import read_segmentation
    from magpie_core.report.overview import draw_overview

    folder.mkdir(parents=True, exist_ok=True)
    warnings = []
    for case in cases:
        try:
            study = sources.read_images(case)
            for files, schema, kind in (
                (sources.predictions, request.prediction_schema, "prediction"),
                (sources.references, request.reference_schema, "reference"),
            ):
                draw_overview(study, read_segmentation(files[case], schema), folder / f"{case}_{kind}.png")
        except MagpieError as error:
            warnings.append(f"No picture of {case}: {error}")
    return warnings
