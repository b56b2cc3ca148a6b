"""`magpie train cases`: from labeled cases."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from magpie_core.commands.options import DeviceName
from magpie_core.commands.train.options import (
    Boxes,
    Kept,
    License,
    Minutes,
    Out,
    Precision,
    Rate,
    Seed,
    Shard,
    Steps,
    Threads,
)
from magpie_core.commands.train.run import hold_run, open_buffer, prepare_torch, save_run, tell

if TYPE_CHECKING:
    from magpie_core.networks.build import Network


def cases(
    folder: Annotated[Path, typer.Option("--cases", help="Folder of labeled cases.")],
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
            "--plain", help="No tumors made fainter, and no objective for the experts but their balance."
        ),
    ] = False,
    kept: Kept = 0.0,
    minutes: Minutes = math.inf,
    steps: Steps = 1_000_000,
    rate: Rate = 1e-3,
    fold: Annotated[int, typer.Option(min=-1, help="Hold this fold out; -1 trains on all cases.")] = -1,
    folds: Annotated[int, typer.Option(help="Number of folds.")] = 4,
    seed: Seed = 0,
    threads: Threads = 1,
    generators: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Processes that make synthetic studies; one by default if --anatomy is given and --ring is not.",
        ),
    ] = None,
    license: License = "CC-BY-NC-SA-4.0",
    boxes: Boxes = 1,
    device: DeviceName = "auto",
    precision: Precision = "auto",
    shard: Shard = False,
) -> None:
    """Teach a model from labeled cases, with synthetic studies mixed in; the result is OUT/model."""
    from contextlib import ExitStack
    from dataclasses import replace
    from hashlib import sha256

    from magpie_core.models.model import load_model
    from magpie_core.networks.build import grow_network
    from magpie_core.networks.device import choose_device
    from magpie_core.networks.presets import preset
    from magpie_core.training import distributed
    from magpie_core.training.labeled_cases import CaseReader, fold_cases, list_cases
    from magpie_core.training.loop import LoopOptions
    from magpie_core.training.patch_sampling import (
        PLAIN_PATCHES,
        CasePatches,
        interpolate_weights,
        train_on_cases,
    )

    if generators is None:
        generators = int(anatomy is not None and ring_folder is None)
    prepare_torch(threads, seed)
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
    spacing_mm = model.description.spacing_mm
    reader = CaseReader(schema, spacing_mm=spacing_mm)
    samples = [reader.read(case) for case in taught]
    options = LoopOptions(
        budget_steps=steps,
        budget_minutes=minutes,
        learning_rate=rate,
        ema_decay=0.995,
        warmup_steps=50,
        precision=precision,
        shard=shard,
        seed=seed,
    )
    told = {
        "starting model": model.hash,
        "network": network.config.to_dict(),
        "cases": {sample.name: sha256(sample.packed.tobytes()).hexdigest() for sample in samples},
        "held out": [case.name for case in held_out],
        "only new parts": only_new,
        "plain": plain,
    }
    chosen, _ = choose_device(device, "fp32")
    with ExitStack() as stack:
        place = stack.enter_context(distributed.joined(chosen.name))
        stack.enter_context(hold_run(out, told))
        if distributed.number() == 0:
            typer.echo(f"{len(samples)} cases to learn from, {len(held_out)} held out", err=True)
        ring = None
        if anatomy is not None or ring_folder is not None:
            backbone_mm = spacing_mm * network.config.backbone_stride
            folder = ring_folder or out / "ring"
            ring = stack.enter_context(open_buffer(folder, anatomy, generators, seed, backbone_mm))
        weights = train_on_cases(
            network,
            samples,
            ring,
            out,
            options,
            recipe=replace(PLAIN_PATCHES if plain else CasePatches(), boxes=boxes),
            device=place,
            on_progress=tell,
        )
        weights = interpolate_weights(weights, before, kept)
        record = {
            "data": f"{len(samples)} labeled cases after {model.name}",
            "start": model.hash,
            "interpolate_weights": kept,
            "only_new_parts": only_new,
            "plain": plain,
            "cases": [case.name for case in taught],
            "held_out": [case.name for case in held_out],
            "rate": rate,
            "seed": seed,
            "boxes": boxes,
        }
        name = model.description.name.removesuffix("-synthetic")
        save_run(out, name, license, network.config, weights, record, spacing_mm)


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
