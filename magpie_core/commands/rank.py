"""`magpie next`: which studies to annotate next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from magpie_core.commands.options import AsJson, ModelName
from magpie_core.commands.output import emit_json, say, tell
from magpie_core.commands.progress import ProgressBar


def rank_studies_command(
    studies: Annotated[list[Path], typer.Argument(help="Folders of studies that are not annotated yet.")],
    model: ModelName = None,
    random_share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share chosen by chance.")] = 0.25,
    seed: Annotated[int, typer.Option(help="Of the chance.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Rank studies by how much annotating them would teach the model."""
    from magpie_core.cohort.ranking import rank_studies
    from magpie_core.errors import MagpieError
    from magpie_core.inference.routing_capture import RoutingCapture
    from magpie_core.inference.segment import segment_study
    from magpie_core.inference.uncertainty import tumor_uncertainty
    from magpie_core.io.discovery import read_study
    from magpie_core.models.model import load_model
    from magpie_core.models.registry import find_model

    loaded = load_model(find_model(model))
    scores: dict[str, float] = {}
    with ProgressBar("Studies", quiet=as_json) as bar:
        for index, folder in enumerate(studies):
            bar(index / len(studies), f"{index + 1} of {len(studies)}")
            try:
                capture = RoutingCapture()
                prediction = segment_study(read_study(folder), loaded, capture=capture)
                scores[str(folder)] = tumor_uncertainty(prediction, capture)
            except MagpieError as error:
                say(f"Left out: {error}")
    ranked = rank_studies(scores, random_share=random_share, seed=seed)
    rows = [{"study": name, "why": why, "uncertainty": round(scores[name], 4)} for name, why in ranked]
    if as_json:
        emit_json({"studies": rows})
        return
    for row in rows:
        tell(f"{row['uncertainty']:.3f}  {row['why']:9}  {row['study']}")
