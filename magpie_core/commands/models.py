"""`magpie models`: model folders and the site's versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from magpie_core.commands.options import AsJson, ranged, user_name
from magpie_core.commands.output import print_json, print_line, print_message
from magpie_core.storage.ranges import FRACTION, Range

_ML = Range(0.0, 1000.0)

app = typer.Typer(
    no_args_is_help=True, help="List, verify, install, promote, roll back, export, join and publish models."
)


@app.command("verify")
def verify(model: Annotated[str, typer.Argument(help="Name or folder of a model.")]) -> None:
    """Verify every file of a model against its manifest."""
    from magpie_core.models.model import load_model
    from magpie_core.models.registry import find_model

    loaded = load_model(find_model(model))
    print_line(f"{loaded.name} is complete and unchanged (SHA-256 of its manifest: {loaded.hash})")


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the models shipped with MAGPIE and this site's versions; a star marks the active one."""
    from magpie_core.errors import ModelError
    from magpie_core.models.registry import default_model, installed_models, site_versions

    site = site_versions()
    active, problem = None, ""
    try:
        active = site.active
    except ModelError as error:
        problem = str(error)
    rows = [
        {
            "name": path.name,
            "folder": str(path),
            "own": False,
            "active": path.name == default_model() and active is None and not problem,
        }
        for path in installed_models()
    ]
    rows += [
        {"name": version.name, "folder": str(version.model), "own": True, "active": version == active}
        for version in site.versions()
    ]
    problems = [problem] if problem else []
    for row in rows:
        row["summary"] = ""
        try:
            row["summary"] = site.version(str(row["name"])).summary() if row["own"] else ""
        except ModelError as error:
            problems.append(str(error))
    problems += [
        f"The version {name} has the name of an installed model, which is meant by that name. Give it another: magpie "
        f"models install '{site.version(name).model}' --name NAME"
        for name in site.shadowed()
    ]
    if as_json:
        print_json({"models": rows, "problems": problems})
        return
    for row in rows:
        print_line(f"{'*' if row['active'] else ' '} {row['name']}  {row['folder']}")
        if row["summary"]:
            print_line(f"    {row['summary']}")
    for text in problems:
        print_message(text)


@app.command("show")
def show(model: Annotated[str, typer.Argument(help="Name or folder of a model.")]) -> None:
    """Print a model's card."""
    from magpie_core.models.description import CARD_NAME
    from magpie_core.models.registry import find_model

    print_line((find_model(model) / CARD_NAME).read_text(encoding="utf-8"))


@app.command("install")
def install(
    model: Annotated[Path, typer.Argument(help="Model folder, for example from another computer.")],
    name: Annotated[str, typer.Option(help="Name of the new version.")],
) -> None:
    """Add a model to this site's versions, not yet active."""
    from magpie_core.models.model import load_model
    from magpie_core.models.registry import site_versions

    site_versions().check_name(name)
    summary = load_model(model).description.training.get("summary")
    record = {"installed_from": str(model)} | ({"summary": summary} if summary else {})
    version = site_versions().add(name, model, record, user=user_name())
    print_line(f"Installed as {version.name}. To use it: magpie models promote {version.name} --reason REASON")


@app.command("promote")
def promote(
    name: Annotated[str, typer.Argument(help="Name of a version, or of the default model.")],
    reason: Annotated[str, typer.Option(help="Reason, for the log.")],
) -> None:
    """Make one of this site's versions, or the default model, the active one."""
    from contextlib import suppress

    from magpie_core.errors import ModelError
    from magpie_core.models.registry import default_model, installed_models, site_versions

    site = site_versions()
    if name == default_model():
        use_default(reason)
        return
    if name in [path.name for path in installed_models()]:
        raise ModelError(
            f"{name} is an installed model, and not the default",
            remedy=f"Set the variable MAGPIE_DEFAULT_MODEL={name} and run magpie models use-default, "
            f"or name it for one command with --model {name}",
        )
    with suppress(ModelError):  # not damaged, which promote refuses
        record = site.version(name).record()
        if record.get("accepted") is False:
            findings = [*record.get("verdict", ()), "no verdict was kept"]
            print_message(f"{name} did not pass its acceptance test: {findings[0]}")
    print_line(f"{site.promote(name, user=user_name(), reason=reason).name} is now active")


@app.command("use-default")
def use_default(
    reason: Annotated[str, typer.Option(help="Reason, for the log.")] = "back to the default model",
) -> None:
    """Use the default model, whatever state the versions are in."""
    from magpie_core.models.registry import default_model, site_versions

    site_versions().use_default(user=user_name(), reason=reason)
    print_line(f"The default model, {default_model()}, is now active")


@app.command("rollback")
def rollback(reason: Annotated[str, typer.Option(help="Reason, for the log.")] = "rollback") -> None:
    """Make the version active that was so before the active one."""
    from magpie_core.models.registry import default_model, site_versions

    version = site_versions().rollback(user=user_name(), reason=reason)
    print_line(f"{f'The default model, {default_model()},' if version is None else version.name} is now active")


@app.command("export")
def export(
    model: Annotated[str, typer.Argument(help="Name or folder of a model.")],
    target: Annotated[Path, typer.Argument(help="New folder.")],
) -> None:
    """Copy a model folder, for another computer; `install` verifies it there."""
    import shutil

    from magpie_core.errors import ModelError
    from magpie_core.models.model import load_model
    from magpie_core.models.registry import find_model

    source = load_model(find_model(model)).folder
    if target.exists():
        raise ModelError("The folder exists already", remedy="Choose a new folder", source=str(target))
    shutil.copytree(source, target)
    load_model(target)
    print_line(f"The model is in {target}")


@app.command("join")
def join(
    models: Annotated[list[Path], typer.Argument(help="Models of one modality each.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New model folder.")],
    mode: Annotated[str, typer.Option(help="Mode: study (one joint result) or image (as in the paper).")] = "study",
) -> None:
    """Join models of one modality each into a mixture of modality experts, to be trained together."""
    from magpie_core.models.join import join_experts

    join_experts(models, out, mode=mode)
    print_line(f"The model is in {out}")


@app.command("publish")
def publish(
    source: Annotated[Path, typer.Argument(help="Model folder written by a training.")],
    target: Annotated[Path, typer.Argument(help="New model folder; its name is that of the model.")],
    version: Annotated[str, typer.Option(help="Edition of the model.")],
    summary: Annotated[str, typer.Option(help="Training data in a sentence or two, for the card.")],
    figures: Annotated[
        list[Path] | None, typer.Option(help="TITLE=FILE: Dice table written by benchmarks/accuracy.py --json.")
    ] = None,
    minimum_et_ml: Annotated[
        float, typer.Option(help="Minimum total volume of enhancing tumor, ml; less becomes core.", **ranged(_ML))
    ] = 0.0,
    thresholds: Annotated[
        tuple[float, float, float], typer.Option(help="Probability thresholds of ET, TC, WT.", **ranged(FRACTION))
    ] = (0.5, 0.5, 0.5),
    minimum_component_ml: Annotated[
        float, typer.Option(help="Minimum volume of a connected component of the tumor, ml.", **ranged(_ML))
    ] = 0.0,
    intervals: Annotated[
        list[str] | None,
        typer.Option(
            "--interval-thresholds",
            help="REGION=HIGHER,LOWER: thresholds from benchmarks/intervals.py; can be repeated.",
        ),
    ] = None,
    minimum_uptake_sd: Annotated[
        float,
        typer.Option(
            help="Minimum enhancement, in standard deviations by which the brightest tenth of the enhancing tumor "
            "exceeds the T1ce expected from T1.",
            **ranged(Range(0.0, 100.0)),
        ),
    ] = 0.0,
) -> None:
    """Give a trained model its version, postprocessing rules and card."""
    from dataclasses import replace

    from magpie_core.models.card import write_card
    from magpie_core.models.description import Postprocessing
    from magpie_core.models.model import load_model, save_model

    model = load_model(source)
    rules = Postprocessing(
        thresholds=thresholds,
        minimum_volume_ml=(minimum_et_ml, 0.0, 0.0),
        minimum_component_ml=minimum_component_ml,
        minimum_uptake_sd=minimum_uptake_sd,
        interval_thresholds=dict(_pair(text) for text in intervals or []),
    )
    description = replace(model.description, name=target.name, version=version, postprocessing=rules)
    table: dict[str, dict[str, float]] = {}
    for item in figures or []:
        title, _, file = str(item).partition("=")
        table |= _means(title, json.loads(Path(file).read_text(encoding="utf-8")))
    save_model(target, description, model.network.state_dict(), card=write_card(description, summary, table))
    print_line(f"The model is in {target}")


def _pair(text: str) -> tuple[str, tuple[float, float]]:
    """ "WT=0.8,0.05" -> ("WT", (0.8, 0.05))."""
    region, _, numbers = text.partition("=")
    try:
        higher, lower = (float(number) for number in numbers.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"--interval-thresholds takes REGION=HIGHER,LOWER, for example WT=0.8,0.05, not {text!r}."
        ) from None
    return region, (higher, lower)


def _means(title: str, rows: dict[str, list[dict]]) -> dict[str, dict[str, float]]:
    table = {}
    for subset, scored in rows.items():
        regions = list(scored[0]["scores"])
        named = f"{title} (n = {len(scored)})" + ("" if subset == "all" else f", {subset}")
        table[named] = {
            region: sum(row["scores"][region]["dice"] for row in scored) / len(scored) for region in regions
        }
    return table
