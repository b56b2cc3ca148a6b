"""`magpie rank`: which studies to annotate next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from magpie_core.app.rank import RankRequest, rank as rank_studies
from magpie_core.commands.options import AsJson, options_of
from magpie_core.commands.output import print_json, print_line, print_message, print_model
from magpie_core.commands.progress import ProgressBar


@options_of(RankRequest)
def rank(
    studies: Annotated[list[Path], typer.Argument(help="Folders of studies that are not annotated yet.")],
    as_json: AsJson = False,
    **options: Any,
) -> None:
    """Rank studies by how much annotating them would help the model."""
    request = RankRequest(studies=tuple(studies), **options)
    model = print_model(request.model, as_json=as_json)
    with ProgressBar("Studies", quiet=as_json) as bar:
        result = rank_studies(request, progress=bar)
    for warning in result.warnings:
        print_message(warning)
    if as_json:
        rows = [{"study": str(one.folder), "why": one.why, "uncertainty": one.uncertainty} for one in result.studies]
        print_json({"model": model, "studies": rows})
        return
    if not result.studies:
        print_line("No study is left to rank.")
    for one in result.studies:
        print_line(f"{one.uncertainty:.3f}  {one.why:9}  {one.folder}")
