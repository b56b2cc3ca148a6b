"""`magpie rank`: which studies to annotate next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from magpie_core.app.rank import RankRequest
from magpie_core.app.rank import rank as rank_studies
from magpie_core.commands.options import AsJson, DeviceName, ModelName
from magpie_core.commands.output import print_json, print_line, print_message
from magpie_core.commands.progress import ProgressBar


def rank(
    studies: Annotated[list[Path], typer.Argument(help="Folders of studies that are not annotated yet.")],
    model: ModelName = None,
    device: DeviceName = "auto",
    random_fraction: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Fraction of the ranks that are drawn at random.")
    ] = 0.25,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Rank studies by how much annotating them would help the model."""
    request = RankRequest(
        studies=tuple(studies), model=model, device=device, random_fraction=random_fraction, seed=seed
    )
    with ProgressBar("Studies", quiet=as_json) as bar:
        result = rank_studies(request, progress=bar)
    for warning in result.warnings:
        print_message(warning)
    if as_json:
        rows = [{"study": str(one.folder), "why": one.why, "uncertainty": one.uncertainty} for one in result.studies]
        print_json({"studies": rows})
        return
    for one in result.studies:
        print_line(f"{one.uncertainty:.3f}  {one.why:9}  {one.folder}")
