"""What the data themselves say about the integers of a segmentation: sidecar, BIDS table, dataset.json, segments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from magpie_core.errors import InputError
from magpie_core.imaging.glioma import Region, Tissue
from magpie_core.imaging.label_schema import SCHEMAS
from magpie_core.io.file_names import label_stem
from magpie_core.storage.csv_table import read_table

SIDECAR = "label_schema"
Integers = Mapping[int, Tissue]


class Declared(NamedTuple):
    """A schema as data state it: its name, and what the integers mean; two may mean the same tissue."""

    name: str
    integers: Integers


# What data sets call them; the first pattern that fits decides.
_TISSUES = (
    (r"non[- _]?enhanc|necro|\bncr\b|\bnet\b|\bnetc\b|\bnecr?\b", Tissue.NCR),
    (r"cavity|resection|\brc\b", Tissue.RC),
    (r"o?edema|\bed\b|snfh|hyperintens|infiltrat|\bfh\b", Tissue.ED),
    (r"enhanc|\bet\b|active|\bat\b", Tissue.ET),
)
_REGIONS = ((r"whole|\bwt\b", Region.WT), (r"tumou?r core|\btc\b", Region.TC), (r"enhanc|\bet\b", Region.ET))


def tissue_of(name: str) -> Tissue | None:
    """Return the tissue that a data set's name for a label stands for; None if it is not known."""
    return _first(_TISSUES, name)


def declared_integers(path: Path) -> dict[str, Declared]:
    """Return what the files around a segmentation say about its integers, by the name of the file.

    Raises:
        InputError: If such a file is damaged.
    """
    found = {}
    for file, read in _files(path):
        try:
            declared = read(file)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                "Cannot read what the labels of the segmentation mean",
                cause=str(error) or type(error).__name__,
                remedy="Restore the file, or remove it and name the schema (command line: --schema)",
                source=str(file),
            ) from error
        if declared.integers:
            found[file.name] = declared
    return found


def known_name(integers: Integers, default: str) -> str:
    """Return the name of the known schema with these integers, else `default`."""
    return next((name for name, schema in SCHEMAS.items() if dict(schema.labels) == dict(integers)), default)


def described(integers: Integers) -> str:
    """Return integers in words: "1 NCR, 2 ED"."""
    return ", ".join(f"{value} {tissue.value}" for value, tissue in sorted(integers.items()))


def _files(path: Path) -> Iterator[tuple[Path, Any]]:
    name = label_stem(path)
    sidecar = path.with_name(f"{name}.json")
    if sidecar.is_file():
        yield sidecar, _of_sidecar
    own = path.with_name(f"{name}.tsv")
    if own.is_file():
        yield own, _of_table
    elif name.endswith("dseg"):
        parts = set(name.split("_"))
        for folder in list(path.absolute().parents)[:6]:  # BIDS: a table further up holds for all below it
            tables = sorted(file for file in folder.glob("*dseg.tsv") if set(file.stem.split("_")) <= parts)
            if tables:
                yield tables[-1], _of_table
                break
            if (folder / "dataset_description.json").is_file():
                break
    dataset = path.absolute().parent.parent / "dataset.json"
    if path.absolute().parent.name in ("labelsTr", "labelsTs") and dataset.is_file():
        yield dataset, _of_dataset


def _of_sidecar(file: Path) -> Declared:
    values = json.loads(file.read_text(encoding="utf-8"))
    if SIDECAR not in values:  # "LabelMap" is BIDS's: {"1": "edema"}
        named = {int(value): tissue_of(str(name)) for value, name in dict(values.get("LabelMap", {})).items()}
        integers = {value: tissue for value, tissue in named.items() if tissue is not None}
        return Declared(known_name(integers, file.name), integers)
    schema = values[SIDECAR]
    return Declared(str(schema["name"]), {int(one["value"]): Tissue(one["tissue"]) for one in schema["labels"]})


def _of_table(file: Path) -> Declared:
    found = {}
    for row in read_table(file):
        tissue = tissue_of(row.get("name", "")) or tissue_of(row.get("abbreviation", ""))
        if tissue is not None:
            found[int(row["index"])] = tissue
    return Declared(known_name(found, file.name), found)


def _of_dataset(file: Path) -> Declared:
    """Labels of nnU-Net, {"edema": 1} or regions {"whole tumor": [1, 2, 3]}, or of MSD, {"1": "edema"}."""
    labels = json.loads(file.read_text(encoding="utf-8")).get("labels", {})
    if any(isinstance(values, list) for values in labels.values()):
        regions = {
            _first(_REGIONS, name): set(values) if isinstance(values, list) else {values}
            for name, values in labels.items()
        }
        whole, core, enhancing = (regions.get(region, set()) for region in (Region.WT, Region.TC, Region.ET))
        parts = ((Tissue.ED, whole - core), (Tissue.NCR, core - enhancing), (Tissue.ET, enhancing))
        integers = {int(value): tissue for tissue, values in parts for value in values} if whole and core else {}
    else:
        pairs = [(name, value) if str(value).isdigit() else (value, name) for name, value in labels.items()]
        named = {int(value): tissue_of(str(name)) for name, value in pairs}
        integers = {value: tissue for value, tissue in named.items() if tissue is not None and value}
    return Declared(known_name(integers, file.name), integers)


def _first(patterns: Any, name: str) -> Any:
    words = re.sub(r"[_/.-]+", " ", name.lower())
    return next((meaning for pattern, meaning in patterns if re.search(pattern, words)), None)
