"""`magpie models`: trained models as things on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Check and publish trained models.")


@app.command("verify")
def verify(model: Annotated[str, typer.Argument(help="Name or folder of a model.")]) -> None:
    """Check every file of a model against its manifest."""
    from magpie_core.models.model import load_model
    from magpie_core.models.registry import find_model

    loaded = load_model(find_model(model))
    typer.echo(f"{loaded.name} is complete and unchanged (SHA-256 of the manifest {loaded.hash})")


@app.command("publish")
def publish(
    source: Annotated[Path, typer.Argument(help="Model folder that a training made.")],
    target: Annotated[Path, typer.Argument(help="New model folder.")],
    version: Annotated[str, typer.Option(help="Edition of the model.")],
    summary: Annotated[str, typer.Option(help="What taught it, in a sentence or two, for the card.")],
    figures: Annotated[
        list[Path] | None, typer.Option(help="TITLE=FILE: a table of Dice that benchmarks/accuracy.py wrote.")
    ] = None,
    minimum_et_ml: Annotated[
        float, typer.Option(help="Less enhancing tumour than this is called none.")
    ] = 0.0,
    minimum_component_ml: Annotated[
        float, typer.Option(help="Smaller parts of the tumour are dropped.")
    ] = 0.0,
) -> None:
    """Give a trained model its version, rules of postprocessing and card."""
    from dataclasses import replace

    from magpie_core.models.card import write_card
    from magpie_core.models.description import Postprocessing
    from magpie_core.models.model import load_model, save_model

    model = load_model(source)
    rules = Postprocessing(
        minimum_volume_ml=(minimum_et_ml, 0.0, 0.0), minimum_component_ml=minimum_component_ml
    )
    description = replace(model.description, version=version, postprocessing=rules)
    table: dict[str, dict[str, float]] = {}
    for item in figures or []:
        title, _, file = str(item).partition("=")
        table |= _means(title, json.loads(Path(file).read_text(encoding="utf-8")))
    save_model(target, description, model.network.state_dict(), card=write_card(description, summary, table))
    typer.echo(f"The model is in {target}")


def _means(title: str, rows: dict[str, list[dict]]) -> dict[str, dict[str, float]]:
    table = {}
    for subset, scored in rows.items():
        regions = list(scored[0]["scores"])
        named = f"{title} (n = {len(scored)})" + ("" if subset == "all" else f", {subset}")
        table[named] = {
            region: sum(row["scores"][region]["dice"] for row in scored) / len(scored) for region in regions
        }
    return table
