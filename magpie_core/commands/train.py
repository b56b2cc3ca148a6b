"""`magpie train`: from anatomy alone, or from labelled cases."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from magpie_core.networks.build import AnyConfig

app = typer.Typer(no_args_is_help=True, help="Train a model from synthetic studies or from labelled cases.")

Out = Annotated[Path, typer.Option("--out", "-o", help="Run folder; an interrupted run in it is resumed.")]
Anatomy = Annotated[Path, typer.Option(envvar="MAGPIE_ANATOMY", help="Folder of anatomical label maps.")]
Minutes = Annotated[float, typer.Option(help="Length of the training in minutes, over all resumes.")]
Steps = Annotated[int, typer.Option(help="Length of the training in steps, if that comes first.")]
Rate = Annotated[float, typer.Option(help="Highest learning rate.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Threads = Annotated[int, typer.Option(help="Processor threads of the training itself.")]
Generators = Annotated[int, typer.Option(help="Processes that make synthetic studies, one thread each.")]


@app.command("synthetic")
def synthetic(
    anatomy: Anatomy,
    out: Out,
    minutes: Minutes = math.inf,
    steps: Steps = 1_000_000,
    rate: Rate = 2e-3,
    seed: Seed = 0,
    threads: Threads = 1,
    generators: Generators = 1,
    network_name: Annotated[str, typer.Option("--network", help="Which network to teach.")] = "magpie-s",
    start: Annotated[
        Path | None, typer.Option(help="Model folder to go on from, instead of a new network.")
    ] = None,
    sequences: Annotated[
        list[str] | None,
        typer.Option(
            "--sequence", help="Sequences it knows (all four by default); may be given several times."
        ),
    ] = None,
) -> None:
    """Teach a new model from synthetic studies alone; the result is OUT/model."""
    from dataclasses import replace

    from magpie_core.models.model import load_model
    from magpie_core.networks.build import build_network
    from magpie_core.networks.presets import preset
    from magpie_core.training.loop import LoopOptions
    from magpie_core.training.recipes import train_on_synthetic
    from magpie_core.training.synthetic_ring import SyntheticRing

    _prepare_torch(threads, seed)
    if start is None:
        config = preset(network_name)
        network = build_network(replace(config, sequences=tuple(sequences)) if sequences else config)
    else:
        model = load_model(start)
        network = model.network
    options = LoopOptions(budget_steps=steps, budget_minutes=minutes, learning_rate=rate, seed=seed)
    with SyntheticRing(out / "ring", anatomy=anatomy, generators=generators, seed=seed) as ring:
        weights = train_on_synthetic(network, ring, out, options, on_progress=_tell)
    record = {"data": "synthetic studies", "rate": rate, "seed": seed}
    if start is not None:
        record["start"] = model.hash
    _save(out, f"{network_name}-synthetic", "Apache-2.0", network.config, weights, record)


@app.command("cases")
def cases(
    folder: Annotated[Path, typer.Option("--cases", help="Folder of labelled cases.")],
    schema: Annotated[str, typer.Option(help="Label schema of the cases, such as brats-2022.")],
    start: Annotated[Path, typer.Option(help="Model folder to start from.")],
    out: Out,
    anatomy: Annotated[
        Path | None, typer.Option(envvar="MAGPIE_ANATOMY", help="Label maps for synthetic studies mixed in.")
    ] = None,
    ring_folder: Annotated[
        Path | None,
        typer.Option("--ring", help="Folder of synthetic samples to use again, instead of OUT/ring."),
    ] = None,
    network_name: Annotated[
        str, typer.Option("--network", help="A network with more parts, to grow into; its own by default.")
    ] = "",
    kept: Annotated[
        float,
        typer.Option(
            "--keep-start", min=0.0, max=1.0, help="Share of the starting model in the averaged weights."
        ),
    ] = 0.0,
    minutes: Minutes = math.inf,
    steps: Steps = 1_000_000,
    rate: Rate = 1e-3,
    fold: Annotated[int, typer.Option(help="Hold this fold out; -1 trains on all cases.")] = -1,
    folds: Annotated[int, typer.Option(help="Number of folds.")] = 4,
    seed: Seed = 0,
    threads: Threads = 1,
    generators: Generators = 0,
) -> None:
    """Teach a model from labelled cases, with synthetic studies mixed in; the result is OUT/model."""
    from magpie_core.models.model import load_model
    from magpie_core.networks.build import grow_network
    from magpie_core.networks.presets import preset
    from magpie_core.training.cases import CaseReader, fold_cases, list_cases
    from magpie_core.training.loop import LoopOptions
    from magpie_core.training.recipes import keep_start, train_on_cases
    from magpie_core.training.synthetic_ring import SyntheticRing

    _prepare_torch(threads, seed)
    model = load_model(start)
    network = grow_network(model.network, preset(network_name)) if network_name else model.network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    chosen = list_cases(folder)
    held_out: list[Path] = []
    if fold >= 0:
        chosen, held_out = fold_cases(chosen, fold, folds)
    reader = CaseReader(schema, spacing_mm=model.description.spacing_mm)
    samples = [reader.read(case) for case in chosen]
    typer.echo(f"{len(samples)} cases to learn from, {len(held_out)} held out", err=True)
    options = LoopOptions(
        budget_steps=steps,
        budget_minutes=minutes,
        learning_rate=rate,
        ema_decay=0.995,
        warmup_steps=50,
        seed=seed,
    )
    if anatomy is None:
        weights = train_on_cases(network, samples, None, out, options, on_progress=_tell)
    else:
        ring = SyntheticRing(ring_folder or out / "ring", anatomy=anatomy, generators=generators, seed=seed)
        with ring:
            weights = train_on_cases(network, samples, ring, out, options, on_progress=_tell)
    weights = keep_start(weights, before, kept)
    record = {
        "data": f"{len(samples)} labelled cases after {model.name}",
        "start": model.hash,
        "keep_start": kept,
        "cases": [case.name for case in chosen],
        "held_out": [case.name for case in held_out],
        "rate": rate,
        "seed": seed,
    }
    name = model.description.name.removesuffix("-synthetic")
    _save(out, name, "CC-BY-NC-SA-4.0", network.config, weights, record)


@app.command("brain-mask")
def brain_mask(
    anatomy: Anatomy,
    out: Out,
    minutes: Minutes = 30.0,
    seed: Seed = 0,
    threads: Threads = 1,
) -> None:
    """Teach the network that finds the brain in images of the whole head; the result is OUT/weights."""
    from magpie_core.training.brain_mask_training import train_brain_mask

    _prepare_torch(threads, seed)

    def tell(spent: float, figures: dict[str, float]) -> None:
        told = f"loss {figures['loss']:.3f}  Dice {figures['dice']:.3f}"
        typer.echo(f"{spent:6.1%}  step {int(figures['step'])}  {told}", err=True)

    typer.echo(
        f"The weights are in {train_brain_mask(anatomy, out, minutes=minutes, seed=seed, on_progress=tell)}"
    )


def _prepare_torch(threads: int, seed: int) -> None:
    import torch

    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(seed)


def _tell(spent: float, figures: dict[str, float]) -> None:
    dice = ", ".join(f"{key[5:]} {value:.3f}" for key, value in figures.items() if key.startswith("dice_"))
    typer.echo(
        f"{spent:6.1%}  step {int(figures['step'])}  loss {figures['loss']:.3f}  Dice {dice}", err=True
    )


def _save(out: Path, name: str, licence: str, config: AnyConfig, weights: dict, record: dict) -> None:
    from magpie_core.models.description import ModelDescription
    from magpie_core.models.model import save_model
    from magpie_core.training.checkpoints import load_checkpoint

    state = load_checkpoint(out) or {}
    record |= {"steps": int(state["step"]), "minutes": round(float(state["spent_s"]) / 60, 1)}
    description = ModelDescription(
        name=name, version="0.1.0", licence=licence, network=config.to_dict(), training=record
    )
    card = f"# {name}\n\nTaught by {record['data']}. Research use only, not for clinical decisions.\n"
    save_model(out / "model", description, weights, card=card)
    typer.echo(f"The model is in {out / 'model'}")
