"""The files of an explanation: maps, tables, pictures, and all of it on the template."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from magpie_core.app.explanation import ExplainRequest, ExplainResult
from magpie_core.errors import InputError
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.io.nifti import write_volume
from magpie_core.io.segmentation_file import write_segmentation
from magpie_core.storage.atomic import refuse_file, staged_folder, write_bytes

SUMMARY = "agreement.json"
_OURS = (
    *("expert_*.nii.gz", "dominant.nii.gz", "agreement.csv", "experts.png", "attention.csv", "attention.png"),
    *("template/expert_*.nii.gz", "template/anatomy.nii.gz", "template/experts.png", "template/alignment.json"),
    *("template/segmentation.nii.gz", "template/segmentation.json"),
)


def check_output(request: ExplainRequest) -> None:
    """Refuse an output folder that holds something, and a label schema without labels (InputError)."""
    if request.reference_schema is not None and request.reference is None:
        raise InputError(
            "A label schema is given, but not the reference segmentation",
            remedy="Name the file with --reference, or leave --reference-schema out",
        )
    output = request.output
    if output is None:
        return
    refuse_file(output)
    if output.exists() and any(output.iterdir()) and not (request.overwrite or request.maps_only):
        raise InputError(
            "There is something in the output folder already",
            remedy="Choose another folder, or allow replacing it with --overwrite",
            source=str(output),
        )


def write_explanation(request: ExplainRequest, study: Study, result: ExplainResult) -> ExplainResult:
    """Write what the request asks for, and say in the result what was written (ResourceError if it cannot be)."""
    summary = _summary(request, study, result)
    output = request.output
    if output is None:
        return replace(result, summary=summary)
    if request.maps_only:
        output.mkdir(parents=True, exist_ok=True)
        return replace(result, summary=summary, files=_write_maps(result, output, ".nii"))
    from magpie_core.report.expert_figures import draw_expert_montage

    with staged_folder(output, ours=_OURS, last=SUMMARY) as scratch:
        _write_maps(result, scratch, ".nii.gz")
        picture = scratch / "experts.png"
        draw_expert_montage(study, result.reference, result.maps.values, picture, names=dict(result.names))
        rows = [_flat(row.as_dict()) for row in result.agreement]
        columns = list(rows[0]) if rows else ["region"]
        _write_table(scratch / "agreement.csv", [columns, *(row.values() for row in rows)])
        if result.attention and request.attention_at is not None:
            _write_attention(request.attention_at, result, scratch)
        if request.on_template:
            summary["template"] = _write_on_template(result, scratch / "template")
        write_bytes(scratch / SUMMARY, (json.dumps(summary, indent=2) + "\n").encode())
    files: dict[str, Path | list[Path]] = {
        "maps": [output / f"expert_{number + 1}.nii.gz" for number in range(result.maps.experts)],
        "dominant": output / "dominant.nii.gz",
        "agreement": output / SUMMARY,
        "picture": output / "experts.png",
    }
    return replace(result, summary=summary, files=files)


def _summary(request: ExplainRequest, study: Study, result: ExplainResult) -> dict[str, Any]:
    values = result.maps.values
    brain = values.any(axis=0)
    summary: dict[str, Any] = {
        "study": study.name,
        "model": result.prediction.model_name,
        "license": result.prediction.model_license,
        "compared_with": "the model's own segmentation" if request.reference is None else "the given segmentation",
        "layer": result.layer,
        "layers": list(result.layers),
        "token_mm": result.maps.token_mm,
        "fraction_of_brain": [round(float(np.mean(one[brain]) / 255), 4) for one in values],
        "names": {expert + 1: region for expert, region in result.names.items()},
        "agreement": [row.as_dict() for row in result.agreement],
    }
    if result.attention and request.attention_at is not None:
        layers = list(dict.fromkeys(point.layer for point in result.attention))
        summary["attention"] = {
            "at_ras_mm": list(request.attention_at),
            "points": len(result.attention),
            "layers": layers,
        }
    return summary


def _write_maps(result: ExplainResult, folder: Path, ending: str) -> dict[str, Path | list[Path]]:
    affine = result.maps.geometry.affine
    paths = [folder / f"expert_{number + 1}{ending}" for number in range(result.maps.experts)]
    for path, one in zip(paths, result.maps.values, strict=True):
        write_volume(Volume(one, affine), path)
    dominant = folder / f"dominant{ending}"
    write_volume(Volume(result.maps.dominant(), affine), dominant)
    return {"maps": list(paths), "dominant": dominant}


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row without lists: `ious` becomes `iou_1`, `iou_2`, ... for each expert, and so on."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        single = name.replace("ious", "iou")
        flat |= (
            {f"{single}_{number}": one for number, one in enumerate(value, 1)}
            if isinstance(value, (list, tuple))
            else {name: value}
        )
    return flat


def _write_table(path: Path, rows: Iterable[Iterable[object]]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    write_bytes(path, text.getvalue().encode())


def _write_attention(place: tuple[float, float, float], result: ExplainResult, folder: Path) -> None:
    """Write table and picture of the sampling points."""
    from magpie_core.report.expert_figures import draw_attention

    ends = [f"{name}_{axis}_mm" for name in ("at", "from") for axis in "ras"]
    rows: list[Iterable[object]] = [["layer", "head", "level", "point", "weight", *ends]]
    for point in result.attention:
        where = [point.layer, point.head, point.level, point.point, f"{point.weight:.6f}"]
        rows.append([*where, *point.ras, *point.from_ras])
    _write_table(folder / "attention.csv", rows)
    points = [asdict(point) for point in result.attention]
    draw_attention(result.prediction.prepared.study, points, place, folder / "attention.png")


def _write_on_template(result: ExplainResult, folder: Path) -> dict[str, Any]:
    """Write maps, anatomy and segmentation on the template's grid, and the matrix; returns the alignment's record."""
    from magpie_core.report.expert_figures import draw_expert_montage

    alignment, maps, study = result.alignment, result.maps, result.prediction.prepared.study
    assert alignment is not None
    affine = alignment.template.affine
    folder.mkdir(exist_ok=True)
    reference = study.volumes[study.reference]
    anatomy = alignment.onto_template(np.asarray(reference.data, np.float32), reference.geometry)
    write_volume(Volume(anatomy, affine), folder / "anatomy.nii.gz")
    placed = np.stack([alignment.onto_template(one, maps.geometry) for one in maps.values])
    for number, one in enumerate(placed):
        write_volume(Volume(one, affine), folder / f"expert_{number + 1}.nii.gz")
    labels = alignment.onto_template(result.reference.labels, result.reference.geometry, nearest=True)
    segmentation = Segmentation(labels, affine, result.reference.schema)
    write_segmentation(segmentation, folder / "segmentation.nii.gz")
    head = Study({Modality.T1: alignment.template}, "template")
    draw_expert_montage(head, segmentation, placed, folder / "experts.png", names=dict(result.names))
    record = {
        "template": "ICBM 2009a nonlinear symmetric, T1, 1 mm",
        "reference": study.reference.value,
        "study_to_template_ras_mm": np.round(alignment.matrix, 6).tolist(),
        "similarity_nats": round(alignment.similarity, 4),
        "without_tumor": alignment.without_tumor,
    }
    write_bytes(folder / "alignment.json", (json.dumps(record, indent=2) + "\n").encode())
    return record
