"""`magpie train pretraining`: from images without labels."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from magpie_core.commands.options import DeviceName
from magpie_core.commands.train.options import (
    Generators,
    License,
    Minutes,
    Out,
    Precision,
    Seed,
    Shard,
    Steps,
    Threads,
)
from magpie_core.commands.train.run import hold_run, open_buffer, prepare_torch, save_run, tell


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
    precision: Precision = "auto",
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="The same bits again, even after a kill; needs --steps.")
    ] = False,
    shard: Shard = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write for TensorBoard too.")] = False,
    license: License = "CC-BY-NC-SA-4.0",
    seed: Seed = 0,
    threads: Threads = 1,
) -> None:
    """Pretrain a network without labels (masked autoencoding and contrast); the result is OUT/model."""
    from contextlib import ExitStack
    from dataclasses import replace

    from magpie_core.errors import InputError
    from magpie_core.models.model import load_model
    from magpie_core.networks.build import build_network
    from magpie_core.networks.device import choose_device
    from magpie_core.networks.presets import preset
    from magpie_core.pretraining.config import pretraining_preset
    from magpie_core.pretraining.pretrain import pretrain
    from magpie_core.pretraining.view_source import PretrainingSource
    from magpie_core.training import distributed

    if anatomy is not None and ring_folder is None:
        raise InputError(
            "It is not said where synthetic studies are to lie",
            cause="--anatomy makes them, and --ring names their folder",
            remedy="Add --ring FOLDER, or leave --anatomy out",
        )
    prepare_torch(threads, seed)
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
        precision=precision,
        deterministic=deterministic,
        shard=shard,
        tensorboard=tensorboard,
        seed=seed,
    )
    name, spacing_mm = network_name, 1.0
    if start is None:
        network = build_network(preset(network_name))
    else:
        model = load_model(start)
        network, name = model.network, model.description.name.removesuffix("-pretrained")
        spacing_mm = model.description.spacing_mm
    backbone_mm = spacing_mm * network.config.backbone_stride
    told = {
        "network": network.config.to_dict(),
        "preset": preset_name,
        "starting model": None if start is None else model.hash,
    }
    folders = [*(sources or []), *(corpora or [])]
    chosen, _ = choose_device(device, "fp32")
    with ExitStack() as stack:
        place = stack.enter_context(distributed.joined(chosen.name))
        stack.enter_context(hold_run(out, told))
        others = []
        if ring_folder is not None and anatomy is not None:
            others.append(
                stack.enter_context(open_buffer(ring_folder, anatomy, generators, seed, backbone_mm))
            )
        elif ring_folder is not None:
            folders.append(ring_folder)
        source = PretrainingSource(
            folders, others=others, spacing_mm=backbone_mm, unit_range=recipe.unit_range
        )
        weights = pretrain(
            network,
            source,
            out,
            options,
            recipe=recipe,
            held_out=source.held_out(),
            pictures_every=pictures_every,
            device=place,
            on_progress=tell,
        )
        record = {
            "data": f"unlabeled studies alone (preset {preset_name}); its regions are not taught yet",
            "rate": options.learning_rate,
            "seed": seed,
        }
        if start is not None:
            record["start"] = model.hash
        save_run(out, f"{name}-pretrained", license, network.config, weights, record, spacing_mm)
