"""The report of one result, as JSON."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magpie_core import RESEARCH_USE, __version__
from magpie_core.imaging.glioma import Region, Tissue
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.io.segmentation_file import describe_schema
from magpie_core.report.diameters import diameters

if TYPE_CHECKING:
    from magpie_core.inference.prediction import Prediction

FORMAT_VERSION = 1


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
        "format_version": FORMAT_VERSION,
        "magpie_version": __version__,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "study": study.name,
        "volumes_ml": {part.value: round(segmentation.volume_ml(part), 4) for part in (*tissues, *Region)},
        "volume_intervals_ml": {
            region.value: [round(low, 4), round(high, 4)] for region, (low, high) in prediction.intervals_ml.items()
        },
        "diameters_mm": {region.value: _diameters(segmentation, region) for region in Region},
        "reference": study.reference.value,
        "shape": [int(size) for size in reference.shape],
        "spacing_mm": [round(float(size), 6) for size in reference.spacing_mm],
        "files": {key.value: Path(volume.source).name for key, volume in study.volumes.items()},
        "preparation": prediction.prepared.as_dict() if prediction.prepared.changed else None,
        "modalities_used": [modality.value for modality in prediction.modalities_used],
        "modalities_missing": [modality.value for modality in prediction.modalities_missing],
        "suspected_swap": {given.value: likely.value for given, likely in prediction.suspected_swap.items()},
        "model": {"name": prediction.model_name, "sha256": prediction.model_hash, "license": prediction.model_license},
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
