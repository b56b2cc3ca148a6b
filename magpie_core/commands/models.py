"""`magpie models`: trained models as things on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from magpie_core.commands.options import AsJson, user
from magpie_core.commands.output import emit_json, tell

app = typer.Typer(
    no_args_is_help=True, help="List, check, install, promote, roll back, export, join and publish models."
)


@app.command("verify")
def verify(model: Annotated[str, typer.Argument(help="Name or folder of a model.")]) -> None:
    """Check every file of a model against its manifest."""
    from magpie_core.models.model import load_model
    from magpie_core.models.registry import find_model

    loaded = load_model(find_model(model))
    tell(f"{loaded.name} is complete and unchanged (SHA-256 of the manifest {loaded.hash})")


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """Show the models that came with MAGPIE and this site's own versions; a star marks the one in use."""
    from magpie_core.models.registry import DEFAULT_MODEL, models_folder, site_versions

    site = site_versions()
    active = site.active
    used = DEFAULT_MODEL if active is None else active.name
    rows = [
        {"name": path.name, "folder": str(path), "own": False, "active": path.name == used and active is None}
        for path in sorted(models_folder().iterdir())
        if path.is_dir()
    ]
    rows += [
        {"name": version.name, "folder": str(version.model), "own": True, "active": version == active}
        for version in site.versions()
    ]
    if as_json:
        emit_json({"models": rows})
        return
    for row in rows:
        tell(f"{'*' if row['active'] else ' '} {row['name']}  {row['folder']}")


@app.command("show")
def show(model: Annotated[str, typer.Argument(help="Name or folder of a model.")]) -> None:
    """Print a model's card."""
    from magpie_core.models.description import CARD_NAME
    from magpie_core.models.registry import find_model

    tell((find_model(model) / CARD_NAME).read_text(encoding="utf-8"))


@app.command("install")
def install(
    model: Annotated[Path, typer.Argument(help="Model folder, such as another computer's.")],
    name: Annotated[str, typer.Option(help="What to call the version here.")],
) -> None:
    """Take a model over as a version of this site, not yet in use."""
    from magpie_core.models.model import load_model
    from magpie_core.models.registry import site_versions

    load_model(model)
    version = site_versions().add(name, model, {"installed_from": str(model)}, who=user())
    tell(f"Installed as {version.name}; promote it to use it")


@app.command("promote")
def promote(
    name: Annotated[str, typer.Argument(help="Name of a version.")],
    reason: Annotated[str, typer.Option(help="Why, for the log.")],
) -> None:
    """Use one of this site's versions from now on."""
    from magpie_core.models.registry import site_versions

    tell(f"{site_versions().promote(name, who=user(), reason=reason).name} is in use now")


@app.command("rollback")
def rollback(reason: Annotated[str, typer.Option(help="Why, for the log.")] = "rollback") -> None:
    """Use again what was used before the last promotion."""
    from magpie_core.models.registry import site_versions

    version = site_versions().rollback(who=user(), reason=reason)
    tell(f"{'The model that came with MAGPIE' if version is None else version.name} is in use now")


@app.command("export")
def export(
    model: Annotated[str, typer.Argument(help="Name or folder of a model.")],
    target: Annotated[Path, typer.Argument(help="New folder.")],
) -> None:
    """Copy a model to take it elsewhere; `install` there checks that it arrived unchanged."""
    import shutil

    from magpie_core.errors import ModelError
    from magpie_core.models.model import load_model
    from magpie_core.models.registry import find_model

    source = load_model(find_model(model)).folder
    if target.exists():
        raise ModelError("The folder exists already", remedy="Choose a new one", source=str(target))
    shutil.copytree(source, target)
    load_model(target)
    tell(f"The model is in {target}")


@app.command("join")
def join(
    models: Annotated[list[Path], typer.Argument(help="Models that know one modality each.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New model folder.")],
    mode: Annotated[str, typer.Option(help="study: a joint result; image: as in the paper.")] = "study",
) -> None:
    """Join experts for one modality each into a mixture of modality experts, to be taught together."""
    from magpie_core.models.join import join_experts

    join_experts(models, out, mode=mode)
    tell(f"The model is in {out}")


@app.command("publish")
def publish(
    source: Annotated[Path, typer.Argument(help="Model folder that a training made.")],
    target: Annotated[Path, typer.Argument(help="New model folder; the model is called as it is.")],
    version: Annotated[str, typer.Option(help="Edition of the model.")],
    summary: Annotated[str, typer.Option(help="What taught it, in a sentence or two, for the card.")],
    figures: Annotated[
        list[Path] | None, typer.Option(help="TITLE=FILE: a table of Dice that benchmarks/accuracy.py wrote.")
    ] = None,
    minimum_et_ml: Annotated[
        float, typer.Option(help="Less enhancing tumor than this is called none.")
    ] = 0.0,
    thresholds: Annotated[
        tuple[float, float, float], typer.Option(help="Probability from which a voxel is ET, TC, WT.")
    ] = (0.5, 0.5, 0.5),
    minimum_component_ml: Annotated[
        float, typer.Option(help="Smaller parts of the tumor are dropped.")
    ] = 0.0,
    intervals: Annotated[
        list[str] | None,
        typer.Option(
            "--interval-thresholds",
            help="REGION=STRICTER,LAXER, as benchmarks/intervals.py finds them; may be given several times.",
        ),
    ] = None,
    least_uptake: Annotated[
        float,
        typer.Option(
            help="Standard deviations by which the brightest tenth of the enhancing tumor must exceed what T1 leads "
            "to expect of T1ce."
        ),
    ] = 0.0,
) -> None:
    """Give a trained model its version, rules of postprocessing and card."""
    from dataclasses import replace

    from magpie_core.models.card import write_card
    from magpie_core.models.description import Postprocessing
    from magpie_core.models.model import load_model, save_model

    model = load_model(source)
    rules = Postprocessing(
        thresholds=thresholds,
        minimum_volume_ml=(minimum_et_ml, 0.0, 0.0),
        minimum_component_ml=minimum_component_ml,
        least_uptake=least_uptake,
        interval_thresholds=dict(_pair(text) for text in intervals or []),
    )
    description = replace(model.description, name=target.name, version=version, postprocessing=rules)
    table: dict[str, dict[str, float]] = {}
    for item in figures or []:
        title, _, file = str(item).partition("=")
        table |= _means(title, json.loads(Path(file).read_text(encoding="utf-8")))
    save_model(target, description, model.network.state_dict(), card=write_card(description, summary, table))
    tell(f"The model is in {target}")


def _pair(text: str) -> tuple[str, tuple[float, float]]:
    """ "WT=0.8,0.05" -> ("WT", (0.8, 0.05))."""
    region, _, numbers = text.partition("=")
    try:
        strict, lax = (float(number) for number in numbers.split(","))
    except ValueError:
        raise typer.BadParameter(f"--interval-thresholds is such as WT=0.8,0.05, not {text!r}.") from None
    return region, (strict, lax)


def _means(title: str, rows: dict[str, list[dict]]) -> dict[str, dict[str, float]]:
    table = {}
    for subset, scored in rows.items():
        regions = list(scored[0]["scores"])
        named = f"{title} (n = {len(scored)})" + ("" if subset == "all" else f", {subset}")
        table[named] = {
            region: sum(row["scores"][region]["dice"] for row in scored) / len(scored) for region in regions
        }
    return table
