"""`magpie segment`: studies go in, segmentations come out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from magpie_core.app.segment import SegmentRequest, SegmentResult, draw_overview, segment as segment_study
from magpie_core.app.session import Session
from magpie_core.commands.error_report import FRONT_END, explain_failure, show_failure
from magpie_core.commands.options import FILES_NEED_NO_ORDER, AsJson, File, Series, options_of, read_series
from magpie_core.commands.output import print_json, print_line, print_model
from magpie_core.commands.progress import ProgressBar
from magpie_core.imaging.modality import Modality

_REPORTED = ("volumes_ml", "modalities_used", "modalities_missing", "warnings")


@options_of(SegmentRequest)
def segment(
    studies: Annotated[
        list[Path] | None, typer.Argument(metavar="STUDY", help="Folders, each with the modalities of one visit.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the result; with several studies, one subfolder each.")
    ] = Path("magpie-result"),
    t1: File = None,
    t1ce: File = None,
    t2: File = None,
    flair: File = None,
    series: Series = None,
    as_json: AsJson = False,
    **options: Any,
) -> None:
    """Segment the glioma in each STUDY: segmentation.nii.gz, report.json and overview.png.

    A study is a folder with T1, T1ce, T2 and FLAIR of one visit as DICOM or NIfTI (or a zip file of DICOM), as
    the scanner made them or already co-registered and without the skull. Any subset of the four works; the result
    says what that means. One study that fails does not stop the others.
    """
    images = {Modality.T1: t1, Modality.T1CE: t1ce, Modality.T2: t2, Modality.FLAIR: flair}
    template = SegmentRequest(
        images={modality: path for modality, path in images.items() if path is not None},
        series=read_series(series),
        output=output,
        **options,
    )
    requests = plan(studies or [], template)
    model = print_model(template.model, as_json=as_json)
    session = Session()
    session.models.get(template.model)  # a model that cannot be used is said before any study is read
    outcomes = []
    exit_code = 0
    for request in requests:
        name = str(request.name)
        try:
            with ProgressBar(name) as bar:
                result = segment_study(request, session=session, progress=bar)
            if not as_json:
                print_result(name, result)
            result = draw_overview(result)
        except Exception as error:
            failure = explain_failure(error, FRONT_END)
            show_failure(failure, error)
            exit_code = exit_code or failure.exit_code
            outcomes.append({"study": name, "error": failure.as_dict()})
            continue
        files = {key: str(path.resolve()) for key, path in result.files.items()}
        outcomes.append({"study": name, **files, **{key: result.report[key] for key in _REPORTED}})
        if not as_json:
            print_files(result)
    if as_json:
        print_json({"model": model, "studies": outcomes, "exit_code": exit_code})
    elif len(requests) > 1:
        print_line(f"{sum('error' not in item for item in outcomes)} of {len(requests)} studies segmented.")
    if exit_code:
        raise typer.Exit(exit_code)


def plan(studies: list[Path], template: SegmentRequest) -> list[SegmentRequest]:
    """List what to segment and where to, before anything is computed.

    Args:
        template: With the files of one study, if no folders are given.

    Raises:
        typer.BadParameter: If no study is given, both folders and files are, or two studies would share a folder.
    """
    assert template.output is not None
    if bool(studies) == bool(template.images):
        raise typer.BadParameter("Give either STUDY folders or files (--t1, --t1ce, --t2, --flair).")
    if template.images:
        if template.order or template.series:
            raise typer.BadParameter(FILES_NEED_NO_ORDER)
        return [replace(template, name=template.output.resolve().name)]
    names = [study.resolve().name.removesuffix(".zip") for study in studies]
    if len(studies) == 1:
        return [replace(template, images=studies[0], name=names[0])]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise typer.BadParameter(f"Several studies are named {', '.join(twice)}: their results would mix.")
    return [
        replace(template, images=study, name=name, output=template.output / name)
        for name, study in zip(names, studies, strict=True)
    ]


def print_result(name: str, result: SegmentResult) -> None:
    """Print the result in plain words."""
    from magpie_core.imaging.glioma import Region, Tissue
    from magpie_core.report.milliliters import format_interval, format_ml

    print_line(name)
    for part in (Region.ET, Tissue.NCR, Tissue.ED, Region.TC, Region.WT):
        interval = result.prediction.intervals_ml.get(part) if isinstance(part, Region) else None
        shown = f"   ({format_interval(*interval)})" if interval and interval[1] > 0 else ""
        print_line(f"  {part.label:32}{format_ml(result.segmentation.volume_ml(part)):>10}{shown}")
    for warning in result.warnings:
        print_line(f"  Note: {warning}")


def print_files(result: SegmentResult) -> None:
    """Print what was written."""
    for key in ("overview", "preparation", "segmentation", "report"):
        if key in result.files:
            print_line(f"  {key:14}{result.files[key]}")
