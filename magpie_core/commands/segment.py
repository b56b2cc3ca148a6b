"""`magpie segment`: studies go in, segmentations come out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from magpie_core.commands.error_report import as_fault, show_fault
from magpie_core.commands.options import (
    AsJson,
    BrainBy,
    BrainExtraction,
    DeviceName,
    ModelName,
    Orientation,
    Overwrite,
    Precision,
    PrecisionName,
    Threads,
)
from magpie_core.commands.output import emit_json, tell
from magpie_core.commands.progress import Progress, ProgressBar, part_of

if TYPE_CHECKING:
    from magpie_core.imaging.modality import Modality
    from magpie_core.inference.prediction import Prediction
    from magpie_core.models.model import Model

File = Annotated[Path | None, typer.Option(help="This modality's file, instead of STUDY.")]


@dataclass(frozen=True)
class Request:
    """One study to segment: a folder, or files by modality; how to read it; and the folder for the result."""

    name: str
    source: Path | Mapping[Modality, Path]
    out: Path
    reading: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """How to compute, and whether an earlier result may be replaced."""

    device: str = "auto"
    precision: Precision = Precision.AUTO
    threads: int | None = None
    overwrite: bool = False
    extract_brain_with: BrainExtraction = BrainExtraction.MAGPIE


def segment(
    studies: Annotated[
        list[Path] | None,
        typer.Argument(metavar="STUDY", help="Folders, each with the modalities of one visit."),
    ] = None,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder for the result; with several studies, one subfolder each."),
    ] = Path("magpie-result"),
    t1: File = None,
    t1ce: File = None,
    t2: File = None,
    flair: File = None,
    order: Annotated[
        str | None,
        typer.Option(help="Modalities of files numbered _0000, _0001, ...; FLAIR,T1,T1CE,T2 for MSD."),
    ] = None,
    trust: Annotated[
        Orientation | None, typer.Option(help="Orientation to believe where a file holds two that differ.")
    ] = None,
    series: Annotated[
        list[str] | None,
        typer.Option(help="DICOM series to take for a modality, such as T1CE=5; may be given several times."),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Set voxels that are not numbers to 0, with a warning.")
    ] = False,
    extract_brain_with: BrainBy = BrainExtraction.MAGPIE,
    model: ModelName = None,
    device: DeviceName = "auto",
    precision: PrecisionName = Precision.AUTO,
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Find the glioma in each STUDY: segmentation.nii.gz, report.json and overview.png.

    A study is a folder with T1, T1ce, T2 and FLAIR of one visit as DICOM or NIfTI (or a zip file of DICOM), as
    the scanner made them or already aligned and without the skull. Any subset of the four works; the result says
    what that means. One study that fails does not stop the others.
    """
    files = {"T1": t1, "T1CE": t1ce, "T2": t2, "FLAIR": flair}
    given = {key: path for key, path in files.items() if path is not None}
    reading = {
        "order": order,
        "trust": trust.value if trust else None,
        "repair": repair,
        "series": read_series_numbers(series or []),
    }
    requests = plan(studies or [], given, out, reading)
    options = Options(device, precision, threads, overwrite, extract_brain_with)
    loaded = load(model)
    outcomes = []
    exit_code = 0
    for request in requests:
        try:
            with ProgressBar(request.name) as bar:
                prediction, paths = run_study(request, loaded, options, bar)
        except Exception as error:
            fault = as_fault(error)
            show_fault(fault, error)
            exit_code = exit_code or fault.exit_code
            outcomes.append({"study": request.name, "error": fault.as_dict()})
            continue
        outcomes.append(_outcome(request, prediction, paths))
        if not as_json:
            tell_result(request.name, prediction, paths)
    if as_json:
        emit_json({"studies": outcomes, "exit_code": exit_code})
    elif len(requests) > 1:
        tell(f"{sum('error' not in item for item in outcomes)} of {len(requests)} studies segmented.")
    if exit_code:
        raise typer.Exit(exit_code)


def read_series_numbers(texts: list[str]) -> dict[Modality, int]:
    """ "T1CE=5" -> {T1CE: 5}.

    Raises
    ------
    typer.BadParameter
        If a text is not of that form.
    """
    from magpie_core.imaging.modality import Modality

    chosen = {}
    for text in texts:
        name, _, number = text.partition("=")
        if name.upper() not in Modality.__members__ or not number.isdigit():
            raise typer.BadParameter(f"--series is a modality and a number, such as T1CE=5, not {text!r}.")
        chosen[Modality[name.upper()]] = int(number)
    return chosen


def load(model: str | None) -> Model:
    """Find the model first, because torch takes seconds to import."""
    from magpie_core.models.registry import find_model

    folder = find_model(model)
    from magpie_core.models.model import load_model

    return load_model(folder)


def plan(
    studies: list[Path], files: Mapping[str, Path], out: Path, reading: Mapping[str, Any]
) -> list[Request]:
    """What to segment and where to, before anything is computed.

    Raises
    ------
    typer.BadParameter
        If no study is given, both folders and files are, or two studies would share a folder.
    """
    from magpie_core.imaging.modality import Modality

    if bool(studies) == bool(files):
        raise typer.BadParameter("Give either STUDY folders or files (--t1, --t1ce, --t2, --flair).")
    if files:
        if reading.get("order") or reading.get("series"):
            raise typer.BadParameter(
                "--order and --series are for folders; files have their modality already."
            )
        return [
            Request(out.resolve().name, {Modality(key): path for key, path in files.items()}, out, reading)
        ]
    names = [study.resolve().name.removesuffix(".zip") for study in studies]
    if len(studies) == 1:
        return [Request(names[0], studies[0], out, reading)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise typer.BadParameter(f"Several studies are named {', '.join(twice)}: their results would mix.")
    return [Request(name, study, out / name, reading) for name, study in zip(names, studies, strict=True)]


def run_study(
    request: Request, model: Model, options: Options, progress: Progress
) -> tuple[Prediction, dict[str, Path]]:
    """Read, segment and write one study; returns the prediction and the paths of its files."""
    from magpie_core.inference.segment import segment_study
    from magpie_core.io.discovery import read_study
    from magpie_core.report.write import refuse_existing, write_results

    if not options.overwrite:
        refuse_existing(request.out)
    progress(0.0, "Reading the files")
    start = time.perf_counter()
    study = read_study(request.source, name=request.name, **request.reading)
    reading = {"read": time.perf_counter() - start}
    prediction = segment_study(
        study,
        model,
        device=options.device,
        precision=options.precision.value,
        threads=options.threads,
        brain_extraction=None
        if options.extract_brain_with is BrainExtraction.MAGPIE
        else options.extract_brain_with.value,
        progress=part_of(progress, 0.08, 0.92),
    )
    prediction = replace(prediction, seconds=reading | prediction.seconds)
    progress(0.92, "Writing the result")
    paths = write_results(study, prediction, request.out, overwrite=options.overwrite)
    progress(1.0, "Done")
    return prediction, paths


def tell_result(name: str, prediction: Prediction, paths: Mapping[str, Path]) -> None:
    """The result in plain words on stdout."""
    from magpie_core.imaging.label_schema import Region, Tissue
    from magpie_core.report.milliliters import format_interval, format_ml

    segmentation = prediction.segmentation
    tell(name)
    for thing in (Region.ET, Tissue.NCR, Tissue.ED, Region.TC, Region.WT):
        between = prediction.intervals_ml.get(thing) if isinstance(thing, Region) else None
        shown = f"   ({format_interval(*between)})" if between and between[1] > 0 else ""
        tell(f"  {thing.label:32}{format_ml(segmentation.volume_ml(thing)):>10}{shown}")
    for warning in prediction.warnings:
        tell(f"  Note: {warning}")
    for key in ("overview", "preparation", "segmentation", "report"):
        if key in paths:
            tell(f"  {key:14}{paths[key]}")


def _outcome(request: Request, prediction: Prediction, paths: Mapping[str, Path]) -> dict[str, Any]:
    import json

    report = json.loads(paths["report"].read_text(encoding="utf-8"))
    return {
        "study": request.name,
        **{key: str(path.resolve()) for key, path in paths.items()},
        "volumes_ml": report["volumes_ml"],
        "modalities_used": report["modalities_used"],
        "modalities_missing": report["modalities_missing"],
        "warnings": report["warnings"],
    }
