"""Write a result to disk: segmentation, report and the figure of the preprocessing, completely or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from magpie_core import RESEARCH_USE, __version__
from magpie_core.imaging.background import fingerprint
from magpie_core.imaging.glioma import Region, Tissue
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.inference.prediction import Prediction
from magpie_core.io.segmentation_file import write_segmentation
from magpie_core.report.diameters import diameters
from magpie_core.report.preprocessing_figure import draw_preprocessing
from magpie_core.storage.atomic import refuse_existing, staged_folder

SEGMENTATION, REPORT, OVERVIEW = "segmentation.nii.gz", "report.json", "overview.png"
PREPARATION = "preparation.png"
RESULT_FILES = (SEGMENTATION, REPORT, OVERVIEW, PREPARATION)


def write_results(
    report: Mapping[str, Any], prediction: Prediction, out: Path, *, overwrite: bool = False
) -> dict[str, Path]:
    """Write segmentation (with its label schema beside it) and report into a folder, atomically.

    Other files of a folder that exists are left alone; report.json is the last file to be written, so that where it
    lies the result is complete.

    Args:
        report: The result as plain values, see `build_report`.
        overwrite: Whether an earlier result there may be replaced.

    Returns:
        Paths under the keys "segmentation", "report", and "preparation" if the study was co-registered or its brain
        extracted.

    Raises:
        InputError: If there is a result already and `overwrite` is False.
        ResourceError: If the folder cannot be written: no permission, no space.
    """
    out = Path(out)
    if not overwrite:
        refuse_existing(out, RESULT_FILES)
    prepared = prediction.prepared
    with staged_folder(out, ours=(OVERVIEW, PREPARATION), last=REPORT) as scratch:
        write_segmentation(prediction.segmentation, scratch / SEGMENTATION)
        if prepared.changed:
            draw_preprocessing(prepared, scratch / PREPARATION)
        text = json.dumps(report, indent=2, ensure_ascii=False)
        (scratch / REPORT).write_text(text + "\n", encoding="utf-8")
    written = {"segmentation": out / SEGMENTATION, "report": out / REPORT}
    if prepared.changed:
        written["preparation"] = out / PREPARATION
    return written


def build_report(study: Study, prediction: Prediction) -> dict[str, Any]:
    """Return the result of a study as plain values for JSON; docs/reference/results.md describes every key.

    Files are named without their folder, whose name may identify a patient.
    """
    segmentation = prediction.segmentation
    schema = segmentation.schema
    reference = study.volumes[study.reference]
    tissues = [tissue for tissue in Tissue if tissue in schema.labels.values()]
    return {
        "format": "magpie-report",
        "format_version": 1,
        "magpie_version": __version__,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "study": study.name,
        "volumes_ml": {part.value: round(segmentation.volume_ml(part), 4) for part in (*tissues, *Region)},
        "volume_intervals_ml": {
            region.value: [round(low, 4), round(high, 4)] for region, (low, high) in prediction.intervals_ml.items()
        },
        "diameters_mm": {region.value: _diameters_mm(segmentation, region) for region in Region},
        "reference": study.reference.value,
        "reference_fingerprint": fingerprint(reference),
        "shape": [int(size) for size in reference.shape],
        "spacing_mm": [round(float(size), 6) for size in reference.spacing_mm],
        "files": {key.value: Path(volume.source).name for key, volume in study.volumes.items()},
        "images_found": [image.as_dict() for image in study.found],
        "preparation": prediction.prepared.as_dict() if prediction.prepared.changed else None,
        "modalities_used": [modality.value for modality in prediction.modalities_used],
        "modalities_missing": [modality.value for modality in prediction.modalities_missing],
        "suspected_swap": {given.value: likely.value for given, likely in prediction.suspected_swap.items()},
        "doubts": [doubt.as_dict() for doubt in prediction.doubts],
        "model": {"name": prediction.model_name, "sha256": prediction.model_hash, "license": prediction.model_license},
        "device": prediction.device,
        "precision": prediction.precision,
        "seconds": {stage: round(float(value), 3) for stage, value in prediction.seconds.items()},
        "warnings": list(prediction.warnings),
        "label_schema": schema.as_dict(),
        "edited": False,
        "statement": RESEARCH_USE,
    }


def _diameters_mm(segmentation: Segmentation, region: Region) -> list[float] | None:
    found = diameters(segmentation.mask(region), segmentation.geometry)
    return [round(found.longest_mm, 1), round(found.perpendicular_mm, 1)] if found else None
