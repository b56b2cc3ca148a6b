"""`magpie inspect`: what a study's folder holds, and what would be used of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from magpie_core.app.inspect import InspectRequest, inspect as inspect_study
from magpie_core.commands.options import AsJson, Series, options_of, read_series
from magpie_core.commands.output import print_json, print_line, print_message


@options_of(InspectRequest)
def inspect(
    study: Annotated[Path, typer.Argument(help="Folder (or zip file of DICOM) with the images of one visit.")],
    series: Series = None,
    as_json: AsJson = False,
    **options: Any,
) -> None:
    """Say what every series and file of STUDY would be used as, or why not; nothing is written."""
    result = inspect_study(InspectRequest(images=study, series=read_series(series), **options))
    refusal = result.refusal
    if as_json:
        error = None if refusal is None else refusal.as_dict()
        rows = [one.as_dict() for one in result.found]
        print_json({"study": str(study), "images": rows, "warnings": list(result.warnings), "error": error})
    else:
        widest = max((len(one.label) for one in result.found), default=0)
        for one in result.found:
            use = one.use if one.modality is None else one.modality.label + ("?" if one.use == "candidate" else "")
            print_line(f"{use:12}  {one.label:{min(widest, 60)}}  {one.reason}")
        for warning in result.warnings:
            print_line(f"Note: {warning}")
        if refusal is not None:
            print_message(str(refusal), error=True)
    if refusal is not None:
        raise typer.Exit(refusal.exit_code)
