"""`magpie corpus`: unlabeled studies prepared for self-supervised pretraining."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from magpie_core.commands.options import AsJson
from magpie_core.commands.output import as_text, emit_json, say, tell
from magpie_core.commands.progress import ProgressBar

if TYPE_CHECKING:
    from magpie_core.pretraining.dataset.index import DatasetIndex

app = typer.Typer(no_args_is_help=True, help="Prepare unlabeled studies for pretraining.")

REFUSED = "refused.csv"


class Intensities(str, Enum):
    """Scale of the gray values."""

    ZSCORE = "zscore"
    PAPER = "paper"


@app.command("prepare")
def prepare(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Folders with NIfTI files (BIDS, or a folder for each subject), or CSV manifests.",
            metavar="SOURCE...",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the corpus; what is in it stays.")],
    exclude: Annotated[
        list[Path] | None,
        typer.Option(
            help="What must never enter: a folder of evaluation cases, or a list of subjects, files, folders and "
            "SHA-256 hashes; may be given several times."
        ),
    ] = None,
    spacing_mm: Annotated[float, typer.Option(help="Voxel size of the samples.")] = 2.0,
    intensities: Annotated[
        Intensities,
        typer.Option(help="zscore, or as in the MAGPIE paper: bias field corrected, scaled from 0 to 1."),
    ] = Intensities.ZSCORE,
    validation_share: Annotated[
        float, typer.Option(help="Share of the subjects that is kept for validation.")
    ] = 0.05,
    processes: Annotated[int, typer.Option(min=1, help="Studies prepared at a time.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Processor threads of each.")] = 1,
    disk_gb: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="Allowance on disk in GB; what was used longest ago makes room (inf: no limit)."
        ),
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try again what was refused before.")] = False,
    as_json: AsJson = False,
) -> None:
    """Prepare every study of the sources for pretraining; stopped at any time, the same command goes on.

    A study that cannot be used does not stop the others: OUT/refused.csv says which, why, and what to do.
    """
    from magpie_core.pretraining.dataset.config import DatasetConfig
    from magpie_core.pretraining.dataset.preparation import PreparationOptions, prepare_dataset
    from magpie_core.pretraining.dataset.sources import list_studies

    recipe = DatasetConfig(spacing_mm, intensities.value, validation_share)
    found = list_studies(sources)
    say(f"{len(found.studies)} studies found; {len(found.unnamed)} files whose names tell no modality")
    options = PreparationOptions(processes, threads, None if disk_gb is None else disk_gb * 1e9, retry)
    try:
        with ProgressBar("Preparing") as bar:
            index = prepare_dataset(found.studies, out, recipe, exclude or (), options, on_progress=bar)
    finally:
        _write_refused(out)
    _report(out, index, as_json)


@app.command("show")
def show(
    folder: Annotated[Path, typer.Argument(help="Folder of a corpus.", metavar="CORPUS")],
    as_json: AsJson = False,
) -> None:
    """Tell what a corpus holds, and what was refused."""
    from magpie_core.pretraining.dataset.config import DatasetConfig
    from magpie_core.pretraining.dataset.dataset import INDEX
    from magpie_core.pretraining.dataset.index import DatasetIndex

    DatasetConfig.read(folder)
    _report(folder, DatasetIndex(folder / INDEX), as_json)


def _report(folder: Path, index: DatasetIndex, as_json: bool) -> None:
    figures = _figures(folder, index)
    if as_json:
        emit_json(figures)
        return
    tell(f"{figures['studies']} studies of {figures['subjects']} subjects, at {figures['recipe']}")
    for split, counts in figures["splits"].items():
        tell(f"  {split:<11} {counts['studies']} studies of {counts['subjects']} subjects")
    tell("  modalities   " + ", ".join(f"{name} {count}" for name, count in figures["modalities"].items()))
    disk = figures["disk"]
    allowed = "" if disk["limit_mb"] is None else f", {disk['limit_mb']:g} MB allowed"
    tell(f"  on disk     {disk['studies']} studies, {disk['mb']:g} MB{allowed}")
    if figures["studies"]:
        tell(f"  a study     {figures['mean_mb']:g} MB, prepared in {figures['mean_seconds']:g} s")
    for state, count in figures["not_used"].items():
        tell(f"  {state:<11} {count}")
    if figures["not_used"] or figures["images_left_out"]:
        reasons = folder / REFUSED
        tell(f"  left out    {figures['images_left_out']} images of studies in use; reasons in {reasons}")
    missing = figures["studies"] - disk["studies"]
    if missing:
        tell(f"  {missing} studies had to make room and are prepared again when they are drawn")


def _figures(folder: Path, index: DatasetIndex) -> dict[str, Any]:
    from magpie_core.pretraining.dataset.dataset import PACKED, PretrainingDataset
    from magpie_core.pretraining.dataset.sample_store import SampleStore

    store = SampleStore(folder / PACKED)
    sizes = store.sizes()
    splits = {name: PretrainingDataset(folder, name) for name in ("train", "validation")}
    whole = PretrainingDataset(folder, "all")
    ready = index.ready()
    seconds = [record.seconds for record in ready]
    bytes_ = [record.bytes for record in ready]
    states = Counter(record.state for record in index.records.values() if record.state != "ready")
    return {
        "studies": len(whole),
        "subjects": len(whole.subjects),
        "recipe": whole.recipe.in_words,
        "splits": {
            name: {"studies": len(part), "subjects": len(part.subjects)} for name, part in splits.items()
        },
        "modalities": whole.modalities,
        "disk": {
            "studies": len(sizes),
            "mb": round(sum(sizes.values()) / 1e6, 2),
            "limit_mb": None if store.limit_bytes is None else store.limit_bytes / 1e6,
        },
        "mean_mb": round(sum(bytes_) / len(bytes_) / 1e6, 2) if bytes_ else 0.0,
        "mean_seconds": round(sum(seconds) / len(seconds), 2) if seconds else 0.0,
        "not_used": dict(sorted(states.items())),
        "images_left_out": sum(len(record.problems) for record in ready),
        "with_warnings": sum(bool(record.warnings) for record in ready),
    }


def _write_refused(folder: Path) -> None:
    """A line for each file or study that is not used, and why."""
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
            place = problem["source"] or next(iter(record.files.values()))[0]
            said = (problem["what"], problem["cause"], problem["remedy"])
            writer.writerow([record.subject, record.session, place, state, *said])
    write_bytes(folder / REFUSED, codecs.BOM_UTF8 + as_text(text.getvalue()).encode())
