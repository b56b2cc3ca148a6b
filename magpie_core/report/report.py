"""The canonical record of one result, as JSON."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from magpie_core import RESEARCH_USE, __version__
from magpie_core.imaging.label_schema import Region, Tissue
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.io.segmentation_file import describe_schema
from magpie_core.report.diameters import diameters
from magpie_core.report.prediction_like import PredictionLike

FORMAT_VERSION = 1


def build_report(study: Study, prediction: PredictionLike) -> dict[str, Any]:
    """What was found, from what, by which model and how; JSON-able.

    Parameters
    ----------
    study
        The study that was segmented.
    prediction
        Its result.

    Returns
    -------
    dict with `volumes_ml` (each tissue of the label schema, and ET, TC, WT), `volume_intervals_ml` (low and high,
    between which the true one probably lies; empty if that is not known), `diameters_mm` (per region the longest in
    an axial slice and the longest perpendicular to it; None if there is none), `modalities_used`,
    `modalities_missing`, `suspected_swap` (what an image looks like, by what it was given as), `preparation` (how
    each modality was aligned, and the brain's volume; None if nothing had to be done), `reference`, `model`,
    `device`, `precision`, `seconds`, `warnings`, `label_schema`, `created` (UTC) and the statement of use. Files are
    named without their folder, which may name a patient.
    """
    segmentation = prediction.segmentation
    schema = segmentation.schema
    reference = study.volumes[study.reference]
    tissues = [tissue for tissue in Tissue if tissue in schema.labels.values()]
    return {
        "format": "magpie-report",
        "format_version": FORMAT_VERSION,
        "magpie_version": __version__,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "study": study.name,
        "volumes_ml": {thing.value: round(segmentation.volume_ml(thing), 4) for thing in (*tissues, *Region)},
        "volume_intervals_ml": {
            region.value: [round(low, 4), round(high, 4)]
            for region, (low, high) in prediction.intervals_ml.items()
        },
        "diameters_mm": {region.value: _diameters(segmentation, region) for region in Region},
        "reference": study.reference.value,
        "shape": [int(size) for size in reference.shape],
        "spacing_mm": [round(float(size), 6) for size in reference.spacing_mm],
        "files": {key.value: Path(volume.source).name for key, volume in study.volumes.items()},
        "preparation": prediction.ready.as_dict() if prediction.ready and prediction.ready.changed else None,
        "modalities_used": [modality.value for modality in prediction.modalities_used],
        "modalities_missing": [modality.value for modality in prediction.modalities_missing],
        "suspected_swap": {given.value: seen.value for given, seen in prediction.doubt.items()},
        "model": {
            "name": prediction.model_name,
            "sha256": prediction.model_hash,
            "license": prediction.model_license,
        },
        "device": prediction.device,
        "precision": prediction.precision,
        "seconds": {stage: round(float(value), 3) for stage, value in prediction.seconds.items()},
        "warnings": list(prediction.warnings),
        "label_schema": describe_schema(schema),
        "edited": False,
        "statement": RESEARCH_USE,
    }


def _diameters(segmentation: Segmentation, region: Region) -> list[float] | None:
    found = diameters(segmentation.mask(region), segmentation.geometry)
    return None if found is None else [round(found.longest_mm, 1), round(found.perpendicular_mm, 1)]
