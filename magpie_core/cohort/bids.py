"""BIDS derivatives of a cohort: images on one grid, segmentations with their lookup tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from magpie_core import __version__
from magpie_core.cohort.aligned_case import AlignedCase
from magpie_core.cohort.case import BIDS_NAMES
from magpie_core.imaging.label_schema import LabelSchema
from magpie_core.imaging.modality import Modality
from magpie_core.io.nifti import write_volume
from magpie_core.io.segmentation_file import sidecar_path, write_segmentation
from magpie_core.storage.atomic import write_bytes

BIDS_VERSION = "1.9.0"
BIDS_MODALITIES = (Modality.T1, Modality.T1CE, Modality.T2, Modality.FLAIR, Modality.PD)
"""Modalities that BIDS has among anatomical images."""


def write_bids_case(root: Path, case: AlignedCase, modalities: Sequence[Modality]) -> None:
    """Write images, segmentation and lookup table of a case, each with its JSON sidecar, below `root`."""
    folder = root.joinpath(*case.name.split("_"), "anat")
    folder.mkdir(parents=True)
    files = {}
    for modality in modalities:
        if modality not in case.images:
            continue
        *entities, suffix = BIDS_NAMES[modality].split("_")
        path = folder / f"{'_'.join([case.name, *entities, 'desc-preproc', suffix])}.nii.gz"
        write_volume(case.images[modality], path)
        how = (
            "on the grid of the segmentation, by linear interpolation" if modality in case.resampled else "as acquired"
        )
        _write_sidecar(
            path,
            Description=f"{modality.label}, co-registered to the other images; {how}",
            SkullStripped=modality not in case.with_skull,
            SpatialReference="orig",
        )
        files[modality] = path
    labels = folder / f"{case.name}_dseg.nii.gz"
    write_segmentation(case.labels, labels)
    schema = json.loads(sidecar_path(labels).read_text(encoding="utf-8"))
    _write_sidecar(
        labels,
        Description="Tissues of the glioma, corrected by hand",
        Manual=True,
        SpatialReference="orig",
        Sources=[f"bids::{path.relative_to(root).as_posix()}" for path in files.values()],
        **schema,
    )
    write_bytes(labels.with_name(f"{case.name}_dseg.tsv"), _lookup_table(case.labels.schema).encode())


def write_bids_dataset(root: Path, name: str, schema: LabelSchema) -> None:
    """Write what describes the whole dataset: its description and its README."""
    described = {
        "Name": name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "MAGPIE", "Version": __version__}],
    }
    write_bytes(root / "dataset_description.json", (json.dumps(described, indent=2) + "\n").encode())
    text = (
        f"# {name}\n\nImages of gliomas and their corrected segmentations, exported from a cohort of MAGPIE "
        f"{__version__}: for research only.\nThe images of a visit are co-registered and lie on the grid of its "
        f"segmentation.\nLabels: {schema}; see the files `_dseg.tsv`.\n"
    )
    write_bytes(root / "README.md", text.encode())


def _lookup_table(schema: LabelSchema) -> str:
    rows = ["index\tname\tabbreviation\tcolor", "0\tBackground\tBG\t#000000"]
    for value, tissue in schema.labels.items():
        rows.append(f"{value}\t{tissue.label}\t{tissue.value}\t#{bytes(tissue.color).hex().upper()}")
    return "\n".join([*rows, ""])


def _write_sidecar(image: Path, **values: object) -> None:
    write_bytes(sidecar_path(image), (json.dumps(values, indent=2) + "\n").encode())
