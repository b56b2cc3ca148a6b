"""Use case: segment many studies, one after another, to be stopped and resumed at will."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from magpie_core.app.failure import FrontEnd, explain_failure
from magpie_core.app.segment import SegmentRequest, draw_overview, segment
from magpie_core.app.session import Session
from magpie_core.errors import Cancelled, InputError, MagpieError, errors_about
from magpie_core.imaging.modality import GLIOMA_MODALITIES, Modality
from magpie_core.progress import Progress, no_progress, part_of
from magpie_core.storage.atomic import write_bytes
from magpie_core.storage.csv_table import read_table
from magpie_core.storage.folder_lock import locked_folder
from magpie_core.storage.json_lines import append_json_line, read_json_lines

MANIFEST, SUMMARY = "manifest.jsonl", "volumes.csv"
_REGIONS = ("ET", "NCR", "ED", "TC", "WT")
_REMARKS = ("doubts", "warnings", "error")


@dataclass(frozen=True, kw_only=True)
class BatchRequest:
    """Studies to segment.

    Attributes:
        options: How to read and compute: images, name and output are set for each study.
        front_end: Whose remedies failures are recorded with.
    """

    worklist: Annotated[
        Path,
        "A folder with a folder (or zip file of DICOM) for each study, or a cohort, or a CSV file with a column "
        "'study', or with columns t1, t1ce, t2, flair; a column 'name' is optional.",
    ]
    output: Annotated[Path, "Folder for the results, one subfolder each."]
    retry: Annotated[bool, "Try those that failed before once more."] = False
    options: SegmentRequest = field(default_factory=lambda: SegmentRequest(images={}))
    front_end: FrontEnd = FrontEnd()


@dataclass(frozen=True)
class BatchResult:
    """What became of each study, in the worklist's order: its line of the manifest; and the table of volumes."""

    entries: tuple[Mapping[str, Any], ...]
    summary: Path

    @property
    def failed(self) -> tuple[Mapping[str, Any], ...]:
        """Those that have an "error"."""
        return tuple(entry for entry in self.entries if "error" in entry)


def batch(
    request: BatchRequest,
    *,
    session: Session | None = None,
    progress: Progress = no_progress,
    failed: Callable[[str, MagpieError, Exception], None] | None = None,
) -> BatchResult:
    """Segment every study of a worklist; one that fails does not stop the others, and nothing is done twice.

    Args:
        failed: Called with the name of a study that failed, the failure in words, and the error itself.

    Raises:
        InputError: If the worklist cannot be used, or the folder holds a batch of another model.
        ResourceError: If another batch writes to the folder, or it cannot be written.
    """
    session = session or Session()
    with errors_about(request.worklist):
        studies = read_worklist(request)
    with locked_folder(request.output, "Another batch writes to this folder"):
        manifest = request.output / MANIFEST
        done = {str(entry["study"]): entry for entry in read_json_lines(manifest) if "study" in entry}
        _refuse_other_model(done, request, session)
        for number, study in enumerate(studies):
            name = str(study.name)
            before = done.get(name)
            if before is not None and not (request.retry and "error" in before):
                continue
            part = part_of(progress, number / len(studies), (number + 1) / len(studies))
            entry = _segment_one(study, session, part, request.front_end, failed)
            append_json_line(manifest, entry)
            done[name] = entry
        entries = tuple(done[str(study.name)] for study in studies)
        write_summary(entries, request.output / SUMMARY)
    return BatchResult(entries, request.output / SUMMARY)


def read_worklist(request: BatchRequest) -> list[SegmentRequest]:
    """List the studies of a folder or CSV file (InputError if it has none, or a row or name cannot be used)."""
    from magpie_core.cohort.contents import cohort_at

    worklist, output = request.worklist, request.output
    if (cohort := cohort_at(worklist)) is not None:
        studies = [_request(request, case.name, case.images) for case in cohort.verified_cases()]
    elif worklist.is_dir():
        studies = [
            _request(request, path.name.removesuffix(".zip"), path)
            for path in sorted(worklist.iterdir())
            if (path.is_dir() or path.suffix.lower() == ".zip")
            and path.resolve() != output.resolve()
            and not path.name.startswith(".")
        ]
    elif worklist.is_file():
        studies = [_row(number, row, request) for number, row in enumerate(read_table(worklist), 2)]
    else:
        raise InputError("There is no such file or folder")
    names = [str(study.name).casefold() for study in studies]  # for some file systems X is x
    twice = sorted({name for name in names if names.count(name) > 1})
    if not studies:
        raise InputError("The worklist names no study")
    if twice:
        raise InputError(
            f"Several studies are named {', '.join(twice[:5])}",
            remedy="Rename or move one of each"
            if worklist.is_dir()
            else "Give each a name of its own in the column 'name'",
        )
    return studies


def write_summary(entries: tuple[Mapping[str, Any], ...], path: Path) -> None:
    """Write a CSV row for each study: volumes in ml and the images they were measured on, or why there are none."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["study", *(f"{region}_ml" for region in _REGIONS), "modalities", "images", *_REMARKS])
    for entry in entries:
        volumes, error = entry.get("volumes_ml", {}), entry.get("error", {})
        used = [row for row in entry.get("images_found", []) if row["use"] == "used"]
        writer.writerow(
            [
                entry["study"],
                *(volumes.get(region, "") for region in _REGIONS),
                " ".join(entry.get("modalities_used", [])),
                "; ".join(f"{row['modality']}: {row['image']}" for row in used),
                " ".join(dict.fromkeys(doubt["evidence"] for doubt in entry.get("doubts", []))),
                " ".join(entry.get("warnings", [])),
                " ".join(filter(None, (error.get("what"), error.get("cause")))),
            ]
        )
    write_bytes(path, text.getvalue().encode("utf-8-sig"))


def _segment_one(
    study: SegmentRequest,
    session: Session,
    progress: Progress,
    front_end: FrontEnd,
    failed: Callable[[str, MagpieError, Exception], None] | None,
) -> dict[str, Any]:
    """The manifest's line of a study."""
    entry: dict[str, Any] = {"study": study.name}
    assert study.output is not None

    def report_progress(fraction: float, stage: str) -> None:
        progress(fraction, f"{study.name}: {stage}")

    try:
        report = study.output / "report.json"
        # A kill may have come between the result, which arrives whole, its overview, and its line.
        if not (report.is_file() and (study.output / "overview.png").is_file()):
            draw_overview(segment(study, session=session, progress=report_progress))
        written = json.loads(report.read_text(encoding="utf-8"))
        kept = ("volumes_ml", "modalities_used", "images_found", "doubts", "warnings", "model")
        return entry | {key: written[key] for key in kept if key in written}
    except (KeyboardInterrupt, Cancelled):
        raise
    except Exception as error:
        failure = explain_failure(error, front_end)
        if failed is not None:
            failed(str(study.name), failure, error)
        return entry | {"error": failure.as_dict()}


def _refuse_other_model(done: Mapping[str, Mapping[str, Any]], request: BatchRequest, session: Session) -> None:
    model = session.models.get(request.options.model)
    others = {
        entry["model"]["name"]
        for entry in done.values()
        if entry.get("model", {}).get("sha256", model.hash) != model.hash
    }
    if others:
        raise InputError(
            "The batch was started with another model",
            cause=f"{', '.join(sorted(others))}, and now {model.name}",
            remedy="Choose another folder for the results, or the model of before with --model",
            source=str(request.output / MANIFEST),
        )


def _request(request: BatchRequest, name: str, images: Path | Mapping[Modality, Path]) -> SegmentRequest:
    return replace(request.options, images=images, name=name, output=request.output / name, overwrite=True)


def _row(number: int, row: Mapping[str, str], request: BatchRequest) -> SegmentRequest:
    worklist = request.worklist
    images = {
        modality: worklist.parent / row[modality.value.lower()]
        for modality in GLIOMA_MODALITIES
        if row.get(modality.value.lower())
    }
    if bool(images) == bool(row.get("study")):
        raise InputError(
            f"Line {number} of the worklist names no study, or one twice",
            remedy="Fill either the column 'study' or some of t1, t1ce, t2, flair",
        )
    name = row.get("name") or Path(row.get("study") or f"study-{number}").name.removesuffix(".zip")
    if Path(name).name != name or not name or name.startswith(".") or name in (MANIFEST, SUMMARY):
        raise InputError(f"Line {number} of the worklist has a name that cannot be a folder's", cause=name)
    return _request(request, name, images or worklist.parent / row["study"])
