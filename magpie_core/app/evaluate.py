"""Use case: score segmentations against reference segmentations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from magpie_core.errors import MagpieError
from magpie_core.progress import Progress, no_progress


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest:
    """Segmentations to score."""

    predictions: Annotated[Path, "Folder: CASE/segmentation.nii.gz or CASE.nii.gz."]
    references: Annotated[Path, "Folder of reference segmentations: CASE/seg.nii.gz or CASE.nii.gz."]
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
    """Scores as plain values (see `evaluate_folders`), and why pictures are missing."""

    table: Mapping[str, Any]
    warnings: tuple[str, ...]


def evaluate(request: EvaluateRequest, *, progress: Progress = no_progress) -> EvaluateResult:
    """Compute Dice and HD95 of each region per case, and their means, as `evaluate_folders` does; draw the worst."""
    from magpie_core.evaluation.evaluate_folders import evaluate_folders

    table = evaluate_folders(
        request.predictions,
        request.references,
        reference_schema=request.reference_schema,
        prediction_schema=request.prediction_schema,
        lesions=request.lesions,
        sites=request.sites,
        progress=progress,
    )
    warnings = [] if request.pictures is None else _draw(table["worst"], request, request.pictures)
    return EvaluateResult(table, tuple(warnings))


def _draw(cases: list[str], request: EvaluateRequest, folder: Path) -> list[str]:
    """Draw overviews of prediction and reference where the case has images; what could not be drawn."""
    from magpie_core.evaluation.evaluate_folders import prediction_files, reference_files
    from magpie_core.io.discovery import read_study
    from magpie_core.io.segmentation_file import read_segmentation
    from magpie_core.report.overview import draw_overview

    folder.mkdir(parents=True, exist_ok=True)
    predictions, references = prediction_files(request.predictions), reference_files(request.references)
    warnings = []
    for case in cases:
        try:
            study = read_study(request.references / case)
            for files, schema, kind in (
                (predictions, request.prediction_schema, "prediction"),
                (references, request.reference_schema, "reference"),
            ):
                draw_overview(study, read_segmentation(files[case], schema), folder / f"{case}_{kind}.png")
        except MagpieError as error:
            warnings.append(f"No picture of {case}: {error}")
    return warnings
