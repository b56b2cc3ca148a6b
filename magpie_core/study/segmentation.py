"""A mask with its place in the world and the meaning of its integers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from magpie_core.errors import InputError
from magpie_core.study.atomic import staged
from magpie_core.study.geometry import Geometry, checked_affine
from magpie_core.study.label_schema import LabelSchema, Region, Tissue, label_schema
from magpie_core.study.nifti import encode, read_raw
from magpie_core.study.nifti_header import Trust


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A label map.

    Attributes
    ----------
    labels
        (I, J, K) uint8; every integer is in the schema.
    affine
        (4, 4) float64, voxel index -> RAS mm.
    schema
        What the integers mean.
    source
        File it came from, for messages.

    Raises
    ------
    InputError
        If the labels are not a three-dimensional map of integers that the schema knows.
    """

    labels: np.ndarray
    affine: np.ndarray
    schema: LabelSchema
    source: str = ""

    def __post_init__(self) -> None:
        if self.labels.ndim != 3 or self.labels.dtype.kind not in "biuf":
            raise InputError(
                "A mask must be three-dimensional and hold integers",
                cause=f"it has {self.labels.ndim} dimensions of type {self.labels.dtype}",
                source=self.source,
            )
        self.schema.check(self.labels, source=self.source)
        object.__setattr__(self, "labels", self.labels.astype(np.uint8, copy=False))
        object.__setattr__(self, "affine", checked_affine(self.affine, source=self.source))

    @property
    def geometry(self) -> Geometry:
        """The grid alone."""
        i, j, k = self.labels.shape
        return Geometry((i, j, k), self.affine)

    def mask(self, part: Tissue | Region) -> np.ndarray:
        """Voxels of a tissue or region, bool (I, J, K)."""
        if isinstance(part, Region):
            return self.schema.region_mask(self.labels, part)
        return self.schema.tissue_mask(self.labels, part)

    def volume_ml(self, part: Tissue | Region) -> float:
        """Volume of a tissue or region."""
        return int(np.count_nonzero(self.mask(part))) * self.geometry.voxel_volume_ml


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
    """A label schema as plain values: name, and per label its tissue, code and colour."""
    return {
        "name": schema.name,
        "labels": [
            {
                "value": value,
                "tissue": tissue.value,
                "name": tissue.label,
                "code": dict(zip(("scheme", "value", "meaning"), tissue.code, strict=True)),
                "colour": list(tissue.colour),
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
