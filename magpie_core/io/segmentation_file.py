"""Segmentations as files, each with its label schema in a sidecar; they are written as NIfTI."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np

from magpie_core.errors import InputError
from magpie_core.imaging.glioma import Tissue
from magpie_core.imaging.label_schema import LabelSchema, label_schema
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.io.file_names import is_label_map, label_stem
from magpie_core.io.label_declarations import SIDECAR, Declared, declared_integers, described, known_name
from magpie_core.io.label_map import read_label_map
from magpie_core.io.nifti import encode
from magpie_core.storage.atomic import staged


def write_segmentation(segmentation: Segmentation, path: Path) -> None:
    """Write a NIfTI file and, beside it, `<stem>.json` with its label schema, atomically; raises as `write_volume`."""
    path = Path(path)
    image = encode(segmentation.labels, segmentation.affine, path)
    sidecar = sidecar_path(path)
    schema = json.dumps({SIDECAR: segmentation.schema.as_dict()}, indent=2) + "\n"
    with staged(path, image) as move_image, staged(sidecar, schema.encode()) as move_sidecar:
        sidecar.unlink(missing_ok=True)  # a segmentation never lies beside the schema of another, not for a moment
        move_image()
        move_sidecar()


def read_segmentation(path: Path, schema: LabelSchema | str | None = None, *, override: bool = False) -> Segmentation:
    """Read a segmentation (NIfTI, NRRD, MetaImage, DICOM SEG); its schema comes from the caller, else from the data.

    Args:
        schema: What the integers mean; None for what the data themselves say (`declared_integers`).
        override: Let `schema` go before what the data say, instead of refusing a contradiction.

    Raises:
        InputError: If the file is faulty, holds anything but integers of the schema, if no schema is known, or two
            contradict each other.
    """
    path = Path(path)
    if isinstance(schema, str):
        schema = label_schema(schema)
    found = read_label_map(path)
    said = declared_integers(path)
    if found.integers:
        said["the segments' names"] = Declared(known_name(found.integers, "segments"), found.integers)
    if schema is None:
        _refuse_contradiction(path, said)
    elif not override:
        _refuse_contradiction(path, {f"the schema {schema.name}": Declared(schema.name, schema.labels), **said})
    labels = found.labels
    if schema is None:
        if found.unknown:
            _refuse_unknown_segments(path, labels, found.unknown)
        if not said:
            raise _unknown_schema(path)
        name, integers = next(iter(said.values()))
        first: dict[Tissue, int] = {}
        for value, tissue in sorted(integers.items()):
            if first.setdefault(tissue, value) != value:  # as where necrosis and core without it are two
                labels = np.where(labels == value, first[tissue], labels)
        schema = LabelSchema(name, {value: tissue for tissue, value in first.items()})
    return Segmentation(labels, found.affine, schema, str(path))


def find_segmentation(case: Path) -> Path | None:
    """Find the reference standard in a case folder; None if there is none. Hidden files are ignored.

    `seg.nii.gz` goes before FOLDER_seg.nii.gz and FOLDER-seg.nii.gz, with the folder's own name, as in BraTS; any other
    name that ends so is used if it is the only one. The same holds for the other formats of label maps.

    Raises:
        InputError: If several files remain: a prediction beside the reference standard must never be taken for it.
    """
    found = sorted(path for path in case.glob("*") if is_label_map(path) and label_stem(path).endswith("seg"))
    own = {f"{case.absolute().name}{mark}seg" for mark in "_-."}
    named = [[path for path in found if label_stem(path) in names] for names in ({"seg"}, own)]
    chosen = named[0] or named[1] or found
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
    return path.with_name(f"{label_stem(path)}.json")


def _refuse_contradiction(path: Path, said: Mapping[str, Declared]) -> None:
    for (first, (_, one)), (second, (_, other)) in combinations(said.items(), 2):
        if any(one[value] is not other[value] for value in set(one) & set(other)):
            raise InputError(
                f"The labels of the segmentation have two meanings: {first} says {described(one)}; "
                f"{second} says {described(other)}",
                cause="they contradict each other",
                remedy="Name the right schema, or none (command line: --schema); if what lies beside the segmentation "
                "is wrong, correct or remove it, or overrule it (magpie cohort add, import: --override-schema)",
                source=str(path),
            )


def _refuse_unknown_segments(path: Path, labels: np.ndarray, unknown: Mapping[int, str]) -> None:
    names = [f'"{name}"' for value, name in unknown.items() if (labels == value).any()]
    if names:
        raise InputError(
            f"The segmentation has segments that are no tissue of a glioma: {', '.join(names)}",
            remedy="Remove them, or name them necrosis, edema, enhancing tumor or resection cavity; or name the schema "
            "of their integers (command line: --schema)",
            source=str(path),
        )


def _unknown_schema(path: Path) -> InputError:
    sidecar = sidecar_path(path)
    return InputError(
        "The label schema of the segmentation is not known",
        cause=f"no label schema was named, and {'none is in' if sidecar.exists() else 'there is no'} {sidecar.name} "
        "beside it",
        remedy="Name the schema, for example brats-2022 or magpie (command line: --schema); integers are not guessed",
        source=str(sidecar if sidecar.exists() else path),
    )
