"""Segmentations as NIfTI files, each with its label schema beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from magpie_core.errors import InputError
from magpie_core.imaging.label_schema import LabelSchema, Tissue, label_schema
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.io.nifti import encode, read_raw
from magpie_core.io.nifti_header import Trust
from magpie_core.storage.atomic import staged


def write_segmentation(segmentation: Segmentation, path: Path) -> None:
    """Write a NIfTI file and, beside it, `<stem>.json` with the label schema; complete or not at all.

    Raises
    ------
    InputError
        If the name does not end in .nii or .nii.gz.
    ResourceError
        If a file cannot be written.
    """
    path = Path(path)
    image = encode(segmentation.labels, segmentation.affine, path)
    sidecar = sidecar_path(path)
    schema = json.dumps({"label_schema": describe_schema(segmentation.schema)}, indent=2) + "\n"
    with staged(path, image) as place_image, staged(sidecar, schema.encode()) as place_sidecar:
        sidecar.unlink(missing_ok=True)  # no mask stands beside the meaning of another, not for a moment
        place_image()
        place_sidecar()


def read_segmentation(
    path: Path, schema: LabelSchema | str | None = None, *, trust: Trust | None = None
) -> Segmentation:
    """Read a mask; its label schema comes from the caller, else from the sidecar beside it.

    Raises
    ------
    InputError
        If the file is faulty, holds anything but integers of the schema, or if no schema is known.
    """
    path = Path(path)
    if isinstance(schema, str):
        schema = label_schema(schema)
    raw = read_raw(path, trust=trust)
    if schema is None:
        schema = _read_sidecar(path)
    if raw.data.ndim != 3 or raw.data.dtype.kind not in "iuf":
        raise InputError(
            "The file is not a mask of integers",
            cause=f"its size is {' x '.join(map(str, raw.data.shape))}, its type {raw.data.dtype.name}",
            remedy="Export the segmentation as one three-dimensional label map",
            source=str(path),
        )
    labels: np.ndarray = raw.data
    if (raw.slope, raw.inter) != (1.0, 0.0):
        labels = labels.astype(np.float64) * raw.slope + raw.inter
    return Segmentation(labels, raw.affine, schema, str(path))


def sidecar_path(path: Path) -> Path:
    """Where the label schema of a mask is kept: `<stem>.json` beside it."""
    name = path.name
    for ending in (".nii.gz", ".nii"):
        if name.lower().endswith(ending):
            return path.with_name(name[: -len(ending)] + ".json")
    return path.with_suffix(".json")


def describe_schema(schema: LabelSchema) -> dict[str, Any]:
    """A label schema as plain values: name, and per label its tissue, code and color."""
    return {
        "name": schema.name,
        "labels": [
            {
                "value": value,
                "tissue": tissue.value,
                "name": tissue.label,
                "code": dict(zip(("scheme", "value", "meaning"), tissue.code, strict=True)),
                "color": list(tissue.color),
            }
            for value, tissue in schema.labels.items()
        ],
    }


def _read_sidecar(path: Path) -> LabelSchema:
    sidecar = sidecar_path(path)
    try:
        described = json.loads(sidecar.read_text(encoding="utf-8"))["label_schema"]
        return LabelSchema(
            str(described["name"]),
            {int(item["value"]): Tissue(item["tissue"]) for item in described["labels"]},
        )
    except FileNotFoundError:
        raise InputError(
            "It is not known what the labels in this mask mean",
            cause=f"no label schema was named, and there is no {sidecar.name} beside it",
            remedy="Name the schema, for example brats-2022 or magpie; integers are not guessed",
            source=str(path),
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            "The label schema beside the mask cannot be read",
            cause=str(error) or type(error).__name__,
            remedy="Name the schema, or restore the file",
            source=str(sidecar),
        ) from error
