"""`magpie train`: from anatomy alone, or from labelled cases."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from magpie_core.commands.options import DeviceName

if TYPE_CHECKING:
    from magpie_core.networks.build import AnyConfig, Network
    from magpie_core.training.synthetic_ring import SyntheticRing

app = typer.Typer(no_args_is_help=True, help="Train a model from synthetic studies or from labelled cases.")

Out = Annotated[Path, typer.Option("--out", "-o", help="Run folder; an interrupted run in it is resumed.")]
Anatomy = Annotated[Path, typer.Option(envvar="MAGPIE_ANATOMY", help="Folder of anatomical label maps.")]
Minutes = Annotated[float, typer.Option(help="Length of the training in minutes, over all resumes.")]
Steps = Annotated[int, typer.Option(help="Length of the training in steps, if that comes first.")]
Rate = Annotated[float, typer.Option(help="Highest learning rate.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Threads = Annotated[int, typer.Option(help="Processor threads of the training itself.")]
Kept = Annotated[
    float,
    typer.Option(
        "--keep-start", min=0.0, max=1.0, help="Share of the starting model in the averaged weights."
    ),
]
Shard = Annotated[
    bool,
    typer.Option(
        "--shard", help="Divide the network among the processes: less memory in each, more talk between them."
    ),
]
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
    kept: Kept = 0.0,
    recipe: Annotated[
        Path | None, typer.Option(help="YAML file that says what studies to make instead of the usual.")
    ] = None,
    sequences: Annotated[
        list[str] | None,
        typer.Option(
            "--sequence", help="Sequences it knows (all four by default); may be given several times."
        ),
    ] = None,
    device: DeviceName = "auto",
    shard: Shard = False,
) -> None:
    """Teach a new model from synthetic studies alone; the result is OUT/model."""
    from dataclasses import replace

    from magpie_core.inference.device import choose_device
    from magpie_core.models.model import load_model
    from magpie_core.networks.build import build_network
    from magpie_core.networks.presets import preset
    from magpie_core.training import ranks
    from magpie_core.training.loop import LoopOptions
    from magpie_core.training.recipes import keep_start, train_on_synthetic

    _prepare_torch(threads, seed)
    if start is None:
        config = preset(network_name)
        network = build_network(replace(config, sequences=tuple(sequences)) if sequences else config)
    else:
        model = load_model(start)
        network = model.network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    options = LoopOptions(
        budget_steps=steps, budget_minutes=minutes, learning_rate=rate, shard=shard, seed=seed
    )
    chosen, _ = choose_device(device, "fp32")
    with ranks.joined(chosen.name) as place:
        with _ring(out / "ring", anatomy, generators, seed, recipe) as ring:
            weights = train_on_synthetic(network, ring, out, options, device=place, on_progress=_tell)
        record = {"data": "synthetic studies", "rate": rate, "seed": seed}
        if start is not None:
            weights = keep_start(weights, before, kept)
            record |= {"start": model.hash, "keep_start": kept}
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
    only_new: Annotated[
        bool,
        typer.Option(
            "--only-new",
            help="Teach nothing but the parts that --network adds; what the start has stays as it is.",
        ),
    ] = False,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain", help="No tumours made fainter, and no objective for the experts but their balance."
        ),
    ] = False,
    kept: Kept = 0.0,
    minutes: Minutes = math.inf,
    steps: Steps = 1_000_000,
    rate: Rate = 1e-3,
    fold: Annotated[int, typer.Option(help="Hold this fold out; -1 trains on all cases.")] = -1,
    folds: Annotated[int, typer.Option(help="Number of folds.")] = 4,
    seed: Seed = 0,
    threads: Threads = 1,
    generators: Generators = 0,
    device: DeviceName = "auto",
    shard: Shard = False,
) -> None:
    """Teach a model from labelled cases, with synthetic studies mixed in; the result is OUT/model."""
    from contextlib import ExitStack

    from magpie_core.inference.device import choose_device
    from magpie_core.models.model import load_model
    from magpie_core.networks.build import grow_network
    from magpie_core.networks.presets import preset
    from magpie_core.training import ranks
    from magpie_core.training.cases import CaseReader, fold_cases, list_cases
    from magpie_core.training.loop import LoopOptions
    from magpie_core.training.recipes import PLAIN_RECIPE, keep_start, train_on_cases

    _prepare_torch(threads, seed)
    model = load_model(start)
    known = {name for name, _ in model.network.named_parameters()}
    network = grow_network(model.network, preset(network_name)) if network_name else model.network
    if only_new:
        _hold(network, known)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    taught = list_cases(folder)
    held_out: list[Path] = []
    if fold >= 0:
        taught, held_out = fold_cases(taught, fold, folds)
    reader = CaseReader(schema, spacing_mm=model.description.spacing_mm)
    samples = [reader.read(case) for case in taught]
    options = LoopOptions(
        budget_steps=steps,
        budget_minutes=minutes,
        learning_rate=rate,
        ema_decay=0.995,
        warmup_steps=50,
        shard=shard,
        seed=seed,
    )
    chosen, _ = choose_device(device, "fp32")
    with ExitStack() as stack:
        place = stack.enter_context(ranks.joined(chosen.name))
        if ranks.number() == 0:
            typer.echo(f"{len(samples)} cases to learn from, {len(held_out)} held out", err=True)
        ring = None
        if anatomy is not None or ring_folder is not None:
            ring = stack.enter_context(_ring(ring_folder or out / "ring", anatomy, generators, seed))
        weights = train_on_cases(
            network,
            samples,
            ring,
            out,
            options,
            recipe=PLAIN_RECIPE if plain else None,
            device=place,
            on_progress=_tell,
        )
        weights = keep_start(weights, before, kept)
        record = {
            "data": f"{len(samples)} labelled cases after {model.name}",
            "start": model.hash,
            "keep_start": kept,
            "only_new_parts": only_new,
            "plain": plain,
            "cases": [case.name for case in taught],
            "held_out": [case.name for case in held_out],
            "rate": rate,
            "seed": seed,
        }
        name = model.description.name.removesuffix("-synthetic")
        _save(out, name, "CC-BY-NC-SA-4.0", network.config, weights, record)


@app.command("pretraining")
def pretraining(
    out: Out,
    sources: Annotated[
        list[Path] | None,
        typer.Option("--source", help="A corpus, or a folder of packed samples; may be given several times."),
    ] = None,
    corpora: Annotated[
        list[Path] | None, typer.Option("--corpus", help="A prepared corpus; may be given several times.")
    ] = None,
    ring_folder: Annotated[
        Path | None, typer.Option("--ring", help="Folder of synthetic samples, filled on with --anatomy.")
    ] = None,
    anatomy: Annotated[
        Path | None, typer.Option(help="Label maps for fresh synthetic studies in the ring.")
    ] = None,
    generators: Generators = 1,
    preset_name: Annotated[str, typer.Option("--preset", help="magpie, paper or amaes.")] = "magpie",
    network_name: Annotated[str, typer.Option("--network", help="Which network to pretrain.")] = "magpie-s",
    start: Annotated[
        Path | None, typer.Option(help="Model folder to go on from, instead of a new network.")
    ] = None,
    minutes: Minutes = math.inf,
    steps: Steps = 1_000_000,
    rate: Annotated[
        float | None, typer.Option(help="Highest learning rate; the preset's by default.")
    ] = None,
    box: Annotated[
        tuple[int, int, int] | None, typer.Option(help="Size of a view in voxels (R, A, S).")
    ] = None,
    block: Annotated[
        int | None, typer.Option(help="Edge of a hidden block in voxels; the preset's by default.")
    ] = None,
    subjects: Annotated[int | None, typer.Option(help="Subjects a step and process.")] = None,
    pictures_every: Annotated[int, typer.Option(help="Steps between pictures; 0 for none.")] = 250,
    device: DeviceName = "auto",
    precision: Annotated[str, typer.Option(help="bf16, fp16 (graphics cards only) or fp32.")] = "bf16",
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="The same bits again, even after a kill; needs --steps.")
    ] = False,
    shard: Shard = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write for TensorBoard too.")] = False,
    licence: Annotated[
        str, typer.Option(help="Licence of the weights (SPDX), as the data have it.")
    ] = "CC-BY-NC-SA-4.0",
    seed: Seed = 0,
    threads: Threads = 1,
) -> None:
    """Pretrain a network without labels (masked autoencoding and contrast); the result is OUT/model."""
    from contextlib import ExitStack
    from dataclasses import replace

    from magpie_core.errors import InputError
    from magpie_core.inference.device import choose_device
    from magpie_core.models.model import load_model
    from magpie_core.networks.build import build_network
    from magpie_core.networks.presets import preset
    from magpie_core.training import ranks
    from magpie_core.training.pretraining.pretrain import pretrain
    from magpie_core.training.pretraining.recipe import pretraining_preset
    from magpie_core.training.pretraining.source import PretrainingSource

    if anatomy is not None and ring_folder is None:
        raise InputError(
            "It is not said where synthetic studies are to lie",
            cause="--anatomy makes them, and --ring names their folder",
            remedy="Add --ring FOLDER, or leave --anatomy out",
        )
    if precision not in ("bf16", "fp16", "fp32"):
        raise typer.BadParameter("use bf16, fp16 or fp32", param_hint="--precision")
    _prepare_torch(threads, seed)
    recipe, options = pretraining_preset(preset_name)
    recipe = replace(
        recipe,
        box=box or recipe.box,
        block=recipe.block if block is None else block,
        subjects=recipe.subjects if subjects is None else subjects,
    )
    options = replace(
        options,
        budget_steps=steps,
        budget_minutes=minutes,
        learning_rate=options.learning_rate if rate is None else rate,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        deterministic=deterministic,
        shard=shard,
        tensorboard=tensorboard,
        seed=seed,
    )
    name = network_name
    if start is None:
        network = build_network(preset(network_name))
    else:
        model = load_model(start)
        network, name = model.network, model.description.name.removesuffix("-pretrained")
    body_mm = 1.0 * getattr(network.config, "body_stride", 1)
    folders = [*(sources or []), *(corpora or [])]
    chosen, _ = choose_device(device, "fp32")
    with ExitStack() as stack:
        place = stack.enter_context(ranks.joined(chosen.name))
        others = []
        if ring_folder is not None and anatomy is not None:
            others.append(stack.enter_context(_ring(ring_folder, anatomy, generators, seed)))
        elif ring_folder is not None:
            folders.append(ring_folder)
        source = PretrainingSource(folders, others=others, spacing_mm=body_mm, unit_range=recipe.unit_range)
        weights = pretrain(
            network,
            source,
            out,
            options,
            recipe=recipe,
            held_out=source.held_out(),
            pictures_every=pictures_every,
            device=place,
            on_progress=_tell,
        )
        record = {
            "data": f"unlabelled studies alone (preset {preset_name}); its regions are not taught yet",
            "rate": options.learning_rate,
            "seed": seed,
        }
        if start is not None:
            record["start"] = model.hash
        _save(out, f"{name}-pretrained", licence, network.config, weights, record)


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


def _hold(network: Network, known: set[str]) -> None:
    """Let nothing but parameters of other names than these learn."""
    from magpie_core.errors import InputError

    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name not in known)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise InputError(
            "There is nothing new to teach",
            cause="the start has all parts of the network already",
            remedy="Name a network with more parts with --network, or leave --only-new out",
        )


def _ring(
    folder: Path, anatomy: Path | None, generators: int, seed: int, recipe: Path | None = None
) -> SyntheticRing:
    """A ring that the first of several processes fills and all of them draw from."""
    from magpie_core.training import ranks
    from magpie_core.training.synthetic_ring import SyntheticRing

    first = ranks.number() == 0
    return SyntheticRing(
        folder,
        anatomy=anatomy,
        generators=generators if first else 0,
        filled_elsewhere=not first,
        seed=seed,
        recipe=recipe,
    )


def _tell(spent: float, figures: dict[str, float]) -> None:
    dice = ", ".join(f"{key[5:]} {value:.3f}" for key, value in figures.items() if key.startswith("dice_"))
    told = f"  Dice {dice}" if dice else ""
    for key in ("reconstruction", "contrast"):
        told += f"  {key} {figures[key]:.3f}" if key in figures else ""
    typer.echo(f"{spent:6.1%}  step {int(figures['step'])}  loss {figures['loss']:.3f}{told}", err=True)


def _save(out: Path, name: str, licence: str, config: AnyConfig, weights: dict, record: dict) -> None:
    """Write the model, in the first process alone."""
    from magpie_core.models.description import ModelDescription
    from magpie_core.models.model import save_model
    from magpie_core.training import ranks
    from magpie_core.training.checkpoints import load_checkpoint

    if ranks.number() > 0:
        return
    record["processes"] = ranks.count()
    state = load_checkpoint(out) or {}
    record |= {"steps": int(state["step"]), "minutes": round(float(state["spent_s"]) / 60, 1)}
    description = ModelDescription(
        name=name, version="0.1.0", licence=licence, network=config.to_dict(), training=record
    )
    card = f"# {name}\n\nTaught by {record['data']}. Research use only, not for clinical decisions.\n"
    save_model(out / "model", description, weights, card=card)
    typer.echo(f"The model is in {out / 'model'}")
