"""Segmentations as NIfTI files, each with its label schema in a sidecar."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from magpie_core.errors import InputError
from magpie_core.imaging.glioma import Tissue
from magpie_core.imaging.label_schema import LabelSchema, label_schema
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.io.file_names import is_nifti, stem
from magpie_core.io.nifti import encode, read_raw
from magpie_core.storage.atomic import staged


def write_segmentation(segmentation: Segmentation, path: Path) -> None:
    """Write a NIfTI file and, beside it, `<stem>.json` with its label schema, atomically; raises as `write_volume`."""
    path = Path(path)
    image = encode(segmentation.labels, segmentation.affine, path)
    sidecar = sidecar_path(path)
    schema = json.dumps({"label_schema": segmentation.schema.as_dict()}, indent=2) + "\n"
    with staged(path, image) as move_image, staged(sidecar, schema.encode()) as move_sidecar:
        sidecar.unlink(missing_ok=True)  # a segmentation never lies beside the schema of another, not for a moment
        move_image()
        move_sidecar()


def read_segmentation(path: Path, schema: LabelSchema | str | None = None) -> Segmentation:
    """Read a segmentation; its label schema comes from the caller, else from the sidecar.

    Raises:
        InputError: If the file is faulty, holds anything but integers of the schema, or if no schema is known.
    """
    path = Path(path)
    if isinstance(schema, str):
        schema = label_schema(schema)
    raw = read_raw(path)
    schema = schema or _read_sidecar(path)
    if raw.data.ndim != 3 or raw.data.dtype.kind not in "iuf":
        raise InputError(
            "The file is not a segmentation",
            cause=f"its size is {' x '.join(map(str, raw.data.shape))}, its type {raw.data.dtype.name}",
            remedy="Export the segmentation as one three-dimensional label map",
            source=str(path),
        )
    labels: np.ndarray = raw.data
    if (raw.header.slope, raw.header.inter) != (1.0, 0.0):
        labels = labels.astype(np.float64) * raw.header.slope + raw.header.inter
    return Segmentation(labels, raw.header.affine, schema, str(path))


def find_segmentation(case: Path) -> Path | None:
    """Find the reference standard in a case folder; None if there is none. Hidden files are ignored.

    `seg.nii.gz` goes before FOLDER_seg.nii.gz and FOLDER-seg.nii.gz, with the folder's own name, as in BraTS; any other
    name that ends so is used if it is the only one. The same holds for `.nii` files.

    Raises:
        InputError: If several files remain: a prediction beside the reference standard must never be taken for it.
    """
    found = sorted(path for path in case.glob("*") if is_nifti(path) and stem(path).endswith("seg"))
    own = {f"{case.absolute().name}{mark}seg" for mark in "_-"}
    chosen = [path for path in found if stem(path) == "seg"] or [path for path in found if stem(path) in own] or found
    if len(chosen) > 1:
        raise InputError(
            "More than one file could be the reference standard of the case",
            cause=" and ".join(path.name for path in chosen),
            remedy="Name the reference standard seg.nii.gz, or keep predictions in another folder",
            source=str(case),
        )
    return chosen[0] if chosen else None


def sidecar_path(path: Path) -> Path:
    """Return the path of the label schema of a segmentation: `<stem>.json` beside it."""
    return path.with_suffix(".json") if stem(path) == path.name else path.with_name(stem(path) + ".json")


def _read_sidecar(path: Path) -> LabelSchema:
    sidecar = sidecar_path(path)
    try:
        described = json.loads(sidecar.read_text(encoding="utf-8"))["label_schema"]
        return LabelSchema(
            str(described["name"]), {int(item["value"]): Tissue(item["tissue"]) for item in described["labels"]}
        )
    except FileNotFoundError:
        raise InputError(
            "The label schema of the segmentation is not known",
            cause=f"no label schema was named, and there is no {sidecar.name} beside it",
            remedy="Name the schema, for example brats-2022 or magpie; integers are not guessed",
            source=str(path),
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            "Cannot read the label schema beside the segmentation",
            cause=str(error) or type(error).__name__,
            remedy="Name the schema, or restore the file",
            source=str(sidecar),
        ) from error
