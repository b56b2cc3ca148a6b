"""`magpie cohort`: a site's annotated cases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from magpie_core.app.add_case import AddCaseRequest, add_case
from magpie_core.app.import_cases import ImportCasesRequest, import_cases
from magpie_core.commands.options import (
    AsJson,
    File,
    Series,
    option_of,
    options_of,
    ranged,
    read_series,
    study_images,
    user_name,
)
from magpie_core.commands.output import print_json, print_line, print_message
from magpie_core.commands.progress import ProgressBar
from magpie_core.storage.ranges import FOLDS

app = typer.Typer(no_args_is_help=True, help="Manage annotated cases for fine-tuning.")

Folder = Annotated[Path, typer.Argument(help="Folder of the cohort.")]
User = Annotated[str, typer.Option(help="User name for the log (default: the login name).")]


@app.command("create")
def create(
    folder: Folder, name: Annotated[str, typer.Option(help="Title of the cohort.")] = "MAGPIE cohort", user: User = ""
) -> None:
    """Create an empty cohort."""
    from magpie_core.cohort.cohort import Cohort

    Cohort.create(folder, name=name, user=user or user_name())
    print_line(f"Created the cohort {folder}")


@app.command("add")
@options_of(AddCaseRequest)
def add(
    folder: Folder,
    labels: Annotated[
        list[Path],
        typer.Argument(metavar="[STUDY] LABELS", help="Folder of the study (or its files, --t1ce ...); segmentation."),
    ],
    patient: Annotated[str, option_of(AddCaseRequest, "patient")],
    t1: File = None,
    t1ce: File = None,
    t2: File = None,
    flair: File = None,
    series: Series = None,
    user: User = "",
    **options: Any,
) -> None:
    """Add a study with its corrected segmentation.

    What may be a slip (an empty segmentation, labels outside of the brain, ...) is refused, with the option that says
    that it is meant.
    """
    *study, drawn = labels
    images = study_images(study, series, order=options.get("order"), t1=t1, t1ce=t1ce, t2=t2, flair=flair)
    request = AddCaseRequest(
        images=images,
        series=read_series(series),
        cohort=folder,
        labels=drawn,
        patient=patient,
        annotator=user or user_name(),
        **options,
    )
    result = add_case(request, create=False)
    for warning in result.warnings:
        print_message(warning)
    edited = "" if result.edited is None else f"; {result.edited:.0%} of the tumor was edited"
    print_line(f"Added as {result.case}{edited}")
    print_line(f"Stored: {_stored(result.volumes_ml)}")


@app.command("list")
def list_cases(folder: Folder, as_json: AsJson = False) -> None:
    """List the cases."""
    from magpie_core.cohort.cohort import Cohort

    cohort = Cohort(folder)
    cases = cohort.cases()
    if as_json:
        rows = [
            {
                "case": case.name,
                "modalities": [name.value for name in case.images],
                "annotator": case.annotator,
                "added": case.added,
                "edited": case.edited,
            }
            for case in cases
        ]
        print_json({"cases": rows})
        return
    for case in cases:
        print_line(f"{case.name}  {', '.join(name.label for name in case.images)}  {case.annotator}  {case.added}")
    print_line(f"{len(cases)} cases")
    for text in cohort.unlisted():
        print_message(text)


@app.command("check")
def check(folder: Folder, as_json: AsJson = False) -> None:
    """Check files, segmentations and log of a cohort; exit code 3 if there is a problem."""
    from magpie_core.cohort.cohort import Cohort

    problems = Cohort(folder).check()
    if as_json:
        print_json({"problems": problems})
    else:
        print_line("\n".join(problems) or "Found no problem.")
    if problems:
        raise typer.Exit(3)


@app.command("remove")
def remove(
    folder: Folder,
    case: Annotated[str, typer.Argument(help="Name of the case, as `list` shows it.")],
    reason: Annotated[str, typer.Option(help="Reason, for the log.")],
    user: User = "",
) -> None:
    """Move a case to the trash of the cohort."""
    from magpie_core.cohort.cohort import Cohort

    print_line(f"Moved to {Cohort(folder).remove(case, reason=reason, user=user or user_name())}")


@app.command("accept-edit")
def accept_edit(
    folder: Folder,
    case: Annotated[str, typer.Argument(help="Name of the case, as `list` shows it.")],
    reason: Annotated[str, typer.Option(help="Reason, for the log.")],
    user: User = "",
) -> None:
    """Accept the segmentation of a case that was edited in place, after `check` found it changed."""
    from magpie_core.cohort.cohort import Cohort
    from magpie_core.imaging.glioma import Region
    from magpie_core.io.segmentation_file import read_segmentation

    accepted = Cohort(folder).accept_edit(case, reason=reason, user=user or user_name())
    segmentation = read_segmentation(accepted.labels)
    volumes = ", ".join(f"{region.value} {segmentation.volume_ml(region):.2f} ml" for region in Region)
    print_line(f"Accepted for {case}: {volumes}")


@app.command("import")
@options_of(ImportCasesRequest)
def import_folder(
    folder: Folder,
    source: Annotated[Path, typer.Argument(help="Folder with labeled cases.")],
    user: User = "",
    **options: Any,
) -> None:
    """Add all labeled cases of a folder (BraTS, BIDS, nnU-Net, Medical Segmentation Decathlon).

    Each is checked as by `add`; what is left out is said with its reason.
    """
    request = ImportCasesRequest(cohort=folder, source=source, annotator=user or user_name(), **options)
    with ProgressBar("Cases") as bar:
        results = import_cases(request, progress=bar)
    for result in results:
        if result.case is None:
            print_message(f"Left out: {result.problem}")
        else:
            for warning in result.warnings:
                print_message(warning)
            print_line(f"{result.case}  patient {result.patient}  {result.source}: {_stored(result.volumes_ml)}")
    added = [result for result in results if result.case is not None]
    patients = len({result.patient for result in added})
    print_line(f"{len(added)} of {len(results)} cases added, of {patients} patients")
    if len(added) < len(results):
        raise typer.Exit(3)


def _stored(volumes_ml: Mapping[str, float]) -> str:
    return ", ".join(f"{tissue} {ml:.2f} ml" for tissue, ml in volumes_ml.items() if ml) or "no tumor"


@app.command("export")
def export(
    folder: Folder,
    target: Annotated[Path, typer.Argument(help="New folder (nnunet, bids) or new JSON file (datalist).")],
    layout: Annotated[str, typer.Option("--as", help="Layout: nnunet, datalist or bids.")] = "nnunet",
    modalities: Annotated[
        str, typer.Option(help="Modalities to write, such as T1CE,FLAIR (default: those that all cases have).")
    ] = "",
    folds: Annotated[
        int | None,
        typer.Option(help="Number of folds by patient (default: 5, or as many as patients).", **ranged(FOLDS)),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Export a cohort for nnU-Net, MONAI or as BIDS derivatives: one label schema, one grid a case."""
    from magpie_core.cohort.cohort import Cohort
    from magpie_core.cohort.exporting import export_cohort
    from magpie_core.io.discovery import parse_modalities

    wanted = parse_modalities(modalities or None)
    with ProgressBar("Exporting", quiet=as_json) as bar:
        done = export_cohort(Cohort(folder), target, layout, modalities=wanted, folds=folds, progress=bar)
    if as_json:
        print_json({"target": str(done.path), "notes": list(done.notes)})
        return
    for note in done.notes:
        print_message(note)
    print_line(f"Written to {done.path}")
