"""`magpie dataset`: unlabeled studies prepared for self-supervised pretraining."""

from __future__ import annotations

import codecs
import csv
import io
import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from magpie_core.commands.options import AsJson, ranged
from magpie_core.commands.output import print_json, print_line, print_message, printable
from magpie_core.commands.progress import ProgressBar
from magpie_core.storage.ranges import SPACING_MM, Range

if TYPE_CHECKING:
    from magpie_core.pretraining.dataset.index import DatasetIndex

app = typer.Typer(no_args_is_help=True, help="Prepare pretraining datasets of unlabeled studies.")

REFUSED = "refused.csv"


@app.command("prepare")
def prepare(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Folders with NIfTI files (BIDS, or a folder for each subject), or CSV manifests.", metavar="SOURCE..."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the dataset; the studies in it are kept.")],
    exclude: Annotated[
        list[Path] | None,
        typer.Option(
            help="Evaluation cases to exclude: a folder, or a list of subjects, files, folders and SHA-256 hashes; "
            "may be repeated."
        ),
    ] = None,
    spacing_mm: Annotated[float, typer.Option(help="Voxel size of the samples in mm.", **ranged(SPACING_MM))] = 2.0,
    intensities: Annotated[
        Literal["zscore", "paper"],
        typer.Option(help="Intensity normalization: zscore, or paper (bias field corrected, scaled from 0 to 1)."),
    ] = "zscore",
    validation_fraction: Annotated[
        float, typer.Option(help="Fraction of the subjects in the validation split.", **ranged(Range(0.0, 0.9)))
    ] = 0.05,
    processes: Annotated[
        int, typer.Option(help="Number of studies prepared in parallel.", **ranged(Range(1, 1024)))
    ] = 1,
    threads: Annotated[int, typer.Option(help="CPU threads of each process.", **ranged(Range(1, 1024)))] = 1,
    disk_gb: Annotated[
        float | None,
        typer.Option(
            help="Disk quota in GB, beyond which the least recently used samples are evicted (inf: none).",
            **ranged(Range(0.0, math.inf)),
        ),
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Prepare again what was refused before.")] = False,
    as_json: AsJson = False,
) -> None:
    """Prepare every study of the sources for pretraining; interrupted, the same command resumes.

    A study that cannot be used does not stop the others: OUT/refused.csv lists it, with cause and remedy.
    """
    from magpie_core.pretraining.dataset.config import DatasetConfig
    from magpie_core.pretraining.dataset.preparation import PreparationOptions, prepare_dataset
    from magpie_core.pretraining.dataset.sources import list_studies

    config = DatasetConfig(spacing_mm, intensities, validation_fraction)
    found = list_studies(sources)
    print_message(f"{len(found.studies)} studies found; {len(found.unnamed)} files without a modality in their names")
    options = PreparationOptions(processes, threads, None if disk_gb is None else disk_gb * 1e9, retry)
    try:
        with ProgressBar("Preparing") as bar:
            index = prepare_dataset(found.studies, out, config, exclude or (), options, progress=bar)
    finally:
        _write_refused(out)
    _report(out, index, as_json)


@app.command("show")
def show(
    folder: Annotated[Path, typer.Argument(help="Folder of a dataset.", metavar="DATASET")], as_json: AsJson = False
) -> None:
    """Show what a dataset holds, and what was refused."""
    from magpie_core.pretraining.dataset.config import DatasetConfig
    from magpie_core.pretraining.dataset.dataset import INDEX
    from magpie_core.pretraining.dataset.index import DatasetIndex

    DatasetConfig.read(folder)
    _report(folder, DatasetIndex(folder / INDEX), as_json)


def _report(folder: Path, index: DatasetIndex, as_json: bool) -> None:
    summary = _summary(folder, index)
    if as_json:
        print_json(summary)
        return
    print_line(f"{summary['studies']} studies of {summary['subjects']} subjects, at {summary['config']}")
    for split, counts in summary["splits"].items():
        print_line(f"  {split:<11} {counts['studies']} studies of {counts['subjects']} subjects")
    print_line("  modalities   " + ", ".join(f"{name} {count}" for name, count in summary["modalities"].items()))
    disk = summary["disk"]
    quota = "" if disk["quota_mb"] is None else f", {disk['quota_mb']:g} MB quota"
    print_line(f"  on disk     {disk['studies']} studies, {disk['mb']:g} MB{quota}")
    if summary["studies"]:
        print_line(f"  a study     {summary['mean_mb']:g} MB, prepared in {summary['mean_seconds']:g} s")
    for state, count in summary["not_used"].items():
        print_line(f"  {state:<11} {count}")
    if summary["not_used"] or summary["images_left_out"]:
        reasons = folder / REFUSED
        print_line(f"  left out    {summary['images_left_out']} images of studies in use; reasons in {reasons}")
    missing = summary["studies"] - disk["studies"]
    if missing:
        print_line(f"  {missing} studies were evicted and are prepared again when they are drawn")


def _summary(folder: Path, index: DatasetIndex) -> dict[str, Any]:
    from magpie_core.pretraining.dataset.dataset import PACKED, PretrainingDataset
    from magpie_core.pretraining.dataset.sample_store import SampleStore

    store = SampleStore(folder / PACKED)
    sizes = store.sizes()
    splits = {name: PretrainingDataset(folder, name) for name in ("train", "validation")}
    whole = PretrainingDataset(folder, "all")
    ready = index.ready()
    count = max(len(ready), 1)
    states = Counter(record.state for record in index.records.values() if record.state != "ready")
    return {
        "studies": len(whole),
        "subjects": len(whole.subjects),
        "config": whole.config.summary,
        "splits": {name: {"studies": len(part), "subjects": len(part.subjects)} for name, part in splits.items()},
        "modalities": whole.modalities,
        "disk": {
            "studies": len(sizes),
            "mb": round(sum(sizes.values()) / 1e6, 2),
            "quota_mb": None if store.quota_bytes is None else store.quota_bytes / 1e6,
        },
        "mean_mb": round(sum(record.bytes for record in ready) / count / 1e6, 2),
        "mean_seconds": round(sum(record.seconds for record in ready) / count, 2),
        "not_used": dict(sorted(states.items())),
        "images_left_out": sum(len(record.problems) for record in ready),
        "with_warnings": sum(bool(record.warnings) for record in ready),
    }


def _write_refused(folder: Path) -> None:
    """Write refused.csv: a line for each file or study that is not used, with cause and remedy."""
    from magpie_core.pretraining.dataset.dataset import INDEX
    from magpie_core.pretraining.dataset.index import DatasetIndex
    from magpie_core.storage.atomic import write_bytes

    if not (folder / INDEX).exists():
        return
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["subject", "session", "file", "state", "what", "cause", "remedy"])
    for record in sorted(DatasetIndex(folder / INDEX).records.values(), key=lambda r: (r.subject, r.session)):
        for problem in record.problems:
            state = "left out" if record.state == "ready" else record.state
            source = problem["source"] or record.first_file
            error = (problem["what"], problem["cause"], problem["remedy"])
            writer.writerow([record.subject, record.session, source, state, *error])
    write_bytes(folder / REFUSED, codecs.BOM_UTF8 + printable(text.getvalue()).encode())
