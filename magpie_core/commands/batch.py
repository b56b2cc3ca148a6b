"""`magpie batch`: many studies, one after another, to be stopped and resumed at will."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from filelock import FileLock, Timeout

from magpie_core.commands.error_report import as_fault, show_fault
from magpie_core.commands.options import (
    AsJson,
    BrainBy,
    BrainExtraction,
    DeviceName,
    ModelName,
    Precision,
    PrecisionName,
    Threads,
)
from magpie_core.commands.output import emit_json, tell
from magpie_core.commands.progress import ProgressBar
from magpie_core.commands.segment import Options, Request, load, run_study
from magpie_core.errors import Cancelled, InputError, ResourceError

MANIFEST, SUMMARY = "manifest.jsonl", "volumes.csv"
_REGIONS = ("ET", "NCR", "ED", "TC", "WT")
_FILES = ("t1", "t1ce", "t2", "flair")


def batch(
    worklist: Annotated[
        Path,
        typer.Argument(
            help="A folder with a folder (or zip file of DICOM) for each study, or a CSV file with a column 'study', "
            "or with columns t1, t1ce, t2, flair; a column 'name' is optional."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results, one subfolder each.")],
    retry: Annotated[bool, typer.Option("--retry", help="Try those that failed before once more.")] = False,
    extract_brain_with: BrainBy = BrainExtraction.MAGPIE,
    model: ModelName = None,
    device: DeviceName = "auto",
    precision: PrecisionName = Precision.AUTO,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Segment every study of WORKLIST; a study that fails does not stop the others.

    OUT/manifest.jsonl has a line for each study that is through, OUT/volumes.csv the volumes of all. The same command
    again goes on where it was stopped, and does nothing twice.
    """
    requests = read_worklist(worklist, out)
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(str(out / ".lock"), timeout=0):
            done = _run(
                requests,
                Manifest(out / MANIFEST),
                load(model),
                Options(device, precision, threads, extract_brain_with=extract_brain_with),
                retry,
            )
            write_summary(requests, done, out / SUMMARY)
    except Timeout:
        raise ResourceError(
            "Another batch writes to this folder",
            remedy="Wait for it, or choose another folder",
            source=str(out),
        ) from None
    failed = [name for name in done if "error" in done[name]]
    if as_json:
        emit_json({"studies": [done[request.name] for request in requests], "failed": len(failed)})
    else:
        tell(f"{len(requests) - len(failed)} of {len(requests)} studies segmented.")
        for name in failed:
            tell(f"  {name}: {done[name]['error']['what']}")
        tell(f"  volumes       {out / SUMMARY}")


class Manifest:
    """What has been done, a JSON line for each study; a line that a kill cut short does not count."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, dict[str, Any]]:
        """The last line of each study, by name."""
        found = {}
        for line in self._lines():
            try:
                entry = json.loads(line)
                found[str(entry["study"])] = entry
            except (ValueError, KeyError, TypeError):
                continue
        return found

    def add(self, entry: dict[str, Any]) -> None:
        """Append a line, flushed to the disk."""
        cut = self.path.exists() and not self.path.read_bytes().endswith(b"\n") and self.path.stat().st_size
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(("\n" if cut else "") + json.dumps(entry, ensure_ascii=False) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise ResourceError(
                "The record of the batch cannot be written",
                cause=error.strerror or str(error),
                source=str(self.path),
            ) from error

    def _lines(self) -> Iterator[str]:
        if self.path.exists():
            yield from self.path.read_text(encoding="utf-8", errors="replace").splitlines()


def read_worklist(worklist: Path, out: Path) -> list[Request]:
    """The studies of a folder or a CSV file, in order.

    Raises
    ------
    InputError
        If there is none, a row is not usable, or two have one name.
    """
    if worklist.is_dir():
        entries = sorted(
            path
            for path in worklist.iterdir()
            if (path.is_dir() or path.suffix.lower() == ".zip") and path.resolve() != out.resolve()
        )
        requests = [
            Request(path.name.removesuffix(".zip"), path, out / path.name.removesuffix(".zip"))
            for path in entries
            if not path.name.startswith(".")
        ]
    elif worklist.is_file():
        requests = [_row(number, row, worklist, out) for number, row in enumerate(_rows(worklist), 2)]
    else:
        raise InputError("There is no such file or folder", source=str(worklist))
    names = [request.name.casefold() for request in requests]  # for some file systems X is x
    twice = sorted({name for name in names if names.count(name) > 1})
    if not requests or twice:
        remedy = (
            "Rename or move one of each"
            if worklist.is_dir()
            else "Give each a name of its own in the column 'name'"
        )
        raise InputError(
            f"Several studies are named {', '.join(twice[:5])}" if twice else "The worklist names no study",
            remedy=remedy if twice else "",
            source=str(worklist),
        )
    return requests


def _rows(worklist: Path) -> list[dict[str, str]]:
    try:
        with worklist.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError("The worklist cannot be read", cause=str(error), source=str(worklist)) from error
    if any(None in row for row in rows):
        raise InputError(
            "A line of the worklist has more fields than its first line",
            remedy="Put names that hold a comma into quotation marks",
            source=str(worklist),
        )
    return [{str(key).strip().lower(): (value or "").strip() for key, value in row.items()} for row in rows]


def _row(number: int, row: dict[str, str], worklist: Path, out: Path) -> Request:
    from magpie_core.imaging.modality import Modality

    files = {Modality[key.upper()]: worklist.parent / row[key] for key in _FILES if row.get(key)}
    if bool(files) == bool(row.get("study")):
        raise InputError(
            f"Line {number} of the worklist names no study, or one twice",
            remedy="Fill either the column 'study' or some of t1, t1ce, t2, flair",
            source=str(worklist),
        )
    source = files or worklist.parent / row["study"]
    name = row.get("name") or Path(row.get("study") or f"study-{number}").name.removesuffix(".zip")
    if Path(name).name != name or not name or name.startswith(".") or name in (MANIFEST, SUMMARY):
        raise InputError(
            f"Line {number} of the worklist has a name that cannot be a folder's",
            cause=name,
            source=str(worklist),
        )
    return Request(name, source, out / name)


def _run(
    requests: list[Request], manifest: Manifest, model: Any, options: Options, retry: bool
) -> dict[str, dict[str, Any]]:
    done = manifest.read()
    others = {
        entry["model"]["name"]
        for entry in done.values()
        if entry.get("model", {}).get("sha256", model.hash) != model.hash
    }
    if others:
        raise InputError(
            "The batch was begun with another model",
            cause=f"{', '.join(sorted(others))}, and now {model.name}",
            remedy="Choose another folder for the results, or the model of before with --model",
            source=str(manifest.path),
        )
    for request in requests:
        before = done.get(request.name)
        if before is not None and not (retry and "error" in before):
            continue
        entry: dict[str, Any] = {"study": request.name}
        try:
            # A kill may have come between the result, which arrives whole, and its line.
            if not (request.out / "report.json").is_file():
                with ProgressBar(request.name) as bar:
                    run_study(request, model, replace(options, overwrite=True), bar)
            report = json.loads((request.out / "report.json").read_text(encoding="utf-8"))
            entry |= {key: report[key] for key in ("volumes_ml", "modalities_used", "warnings", "model")}
        except (KeyboardInterrupt, Cancelled):
            raise
        except Exception as error:
            fault = as_fault(error)
            show_fault(fault, error)
            entry["error"] = fault.as_dict()
        manifest.add(entry)
        done[request.name] = entry
    return {request.name: done[request.name] for request in requests}


def write_summary(requests: list[Request], done: dict[str, dict[str, Any]], path: Path) -> None:
    """A row for each study: volumes in ml, or why there are none."""
    import io

    from magpie_core.storage.atomic import write_bytes

    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["study", *(f"{region}_ml" for region in _REGIONS), "modalities", "warnings", "error"])
    for request in requests:
        entry = done[request.name]
        volumes = entry.get("volumes_ml", {})
        error = entry.get("error", {})
        writer.writerow(
            [
                request.name,
                *(volumes.get(region, "") for region in _REGIONS),
                " ".join(entry.get("modalities_used", [])),
                " ".join(entry.get("warnings", [])),
                " ".join(filter(None, (error.get("what"), error.get("cause")))),
            ]
        )
    write_bytes(path, text.getvalue().encode("utf-8-sig"))
