"""`magpie cohort`: a site's annotated cases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from magpie_core.commands.options import AsJson, user
from magpie_core.commands.output import emit_json, say, tell

app = typer.Typer(no_args_is_help=True, help="Keep the cases that you annotated, to teach a model with.")

Folder = Annotated[Path, typer.Argument(help="The cohort's folder.")]
Who = Annotated[str, typer.Option(help="Who does this, for the log; the user's name by default.")]


@app.command("create")
def create(
    folder: Folder, name: Annotated[str, typer.Option(help="A title.")] = "MAGPIE cohort", who: Who = ""
) -> None:
    """Make an empty cohort."""
    from magpie_core.cohort.cohort import Cohort

    Cohort.create(folder, name=name, who=who or user())
    tell(f"The cohort is in {folder}")


@app.command("add")
def add(
    folder: Folder,
    study: Annotated[Path, typer.Argument(help="Folder of the study's modalities.")],
    labels: Annotated[Path, typer.Argument(help="The corrected segmentation.")],
    patient: Annotated[str, typer.Option(help="Patient, as your site numbers them; only a hash is kept.")],
    schema: Annotated[str, typer.Option(help="Label schema, if the segmentation has no sidecar.")] = "",
    visit: Annotated[str, typer.Option(help="Name of the visit; the next number by default.")] = "",
    proposal: Annotated[Path | None, typer.Option(help="What the model had proposed.")] = None,
    who: Who = "",
) -> None:
    """Take a corrected study into a cohort."""
    from magpie_core.cohort.cohort import Cohort
    from magpie_core.io.discovery import read_study
    from magpie_core.io.segmentation_file import read_segmentation

    case = Cohort(folder).add(
        read_study(study),
        read_segmentation(labels, schema or None),
        patient=patient,
        visit=visit,
        proposal=None if proposal is None else read_segmentation(proposal),
        who=who or user(),
    )
    changed = "" if case.edited is None else f"; {case.edited:.0%} of the tumor was changed"
    tell(f"Added as {case.name}{changed}")


@app.command("list")
def list_cases(folder: Folder, as_json: AsJson = False) -> None:
    """Show the cases."""
    from magpie_core.cohort.cohort import Cohort

    cases = Cohort(folder).cases()
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
        emit_json({"cases": rows})
        return
    for case in cases:
        tell(f"{case.name}  {', '.join(name.label for name in case.images)}  {case.annotator}  {case.added}")
    tell(f"{len(cases)} cases")


@app.command("check")
def check(folder: Folder, as_json: AsJson = False) -> None:
    """Check every file of a cohort, its labels and its log; exit code 3 if something is wrong."""
    from magpie_core.cohort.cohort import Cohort

    problems = Cohort(folder).check()
    if as_json:
        emit_json({"problems": problems})
    else:
        tell("\n".join(problems) or "Everything is as it was added.")
    if problems:
        raise typer.Exit(3)


@app.command("remove")
def remove(
    folder: Folder,
    case: Annotated[str, typer.Argument(help="Name of the case, as `list` shows it.")],
    reason: Annotated[str, typer.Option(help="Why, for the log.")],
    who: Who = "",
) -> None:
    """Move a case to the cohort's bin."""
    from magpie_core.cohort.cohort import Cohort

    tell(f"Moved to {Cohort(folder).remove(case, reason=reason, who=who or user())}")


@app.command("import")
def import_cases(
    folder: Folder,
    source: Annotated[Path, typer.Argument(help="Labeled cases of another program.")],
    schema: Annotated[str, typer.Option(help="Label schema, if the label maps have no sidecars.")] = "",
    who: Who = "",
) -> None:
    """Add all labeled cases of a folder (BraTS, BIDS, nnU-Net, Medical Segmentation Decathlon)."""
    from magpie_core.cohort.cohort import Cohort
    from magpie_core.cohort.exchange import import_folder

    results = import_folder(Cohort(folder), source, schema=schema or None, who=who or user())
    for result in results:
        if result.problem:
            say(f"Left out: {result.problem}")
    added = sum(result.case is not None for result in results)
    tell(f"{added} of {len(results)} cases added")
    if added < len(results):
        raise typer.Exit(3)


@app.command("export")
def export(
    folder: Folder,
    target: Annotated[Path, typer.Argument(help="New folder (nnunet) or JSON file (datalist).")],
    layout: Annotated[str, typer.Option("--as", help="nnunet or datalist.")] = "nnunet",
    folds: Annotated[int, typer.Option(help="Folds of a datalist.")] = 5,
) -> None:
    """Write a cohort for other programs."""
    from magpie_core.cohort.cohort import Cohort
    from magpie_core.cohort.exchange import export_datalist, export_nnunet
    from magpie_core.errors import InputError

    cohort = Cohort(folder)
    if layout == "nnunet":
        export_nnunet(cohort, target)
    elif layout == "datalist":
        export_datalist(cohort, target, folds=folds)
    else:
        raise InputError(f"There is no layout {layout!r}", remedy="Use nnunet or datalist")
    tell(f"Written to {target}")
