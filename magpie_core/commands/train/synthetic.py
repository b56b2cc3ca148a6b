"""`magpie train synthetic`: from anatomy alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from magpie_core.commands.options import DeviceName
from magpie_core.commands.train.options import (
    Anatomy,
    Boxes,
    Generators,
    Kept,
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


def synthetic(
    anatomy: Anatomy,
    out: Out,
    minutes: Minutes = math.inf,
    steps: Steps = 1_000_000,
    rate: Rate = 2e-3,
    seed: Seed = 0,
    threads: Threads = 1,
    generators: Generators = 1,
    network_name: Annotated[
        str, typer.Option("--network", help="Which network to teach; magpie-s by default.")
    ] = "",
    start: Annotated[
        Path | None, typer.Option(help="Model folder to go on from, instead of a new network.")
    ] = None,
    kept: Kept = 0.0,
    recipe: Annotated[
        Path | None, typer.Option(help="YAML file that says what studies to make instead of the usual.")
    ] = None,
    modalities: Annotated[
        list[str] | None,
        typer.Option(
            "--modality", help="Modalities it knows (all four by default); may be given several times."
        ),
    ] = None,
    boxes: Boxes = 1,
    device: DeviceName = "auto",
    precision: Precision = "auto",
    shard: Shard = False,
) -> None:
    """Teach a model from synthetic studies alone; the result is OUT/model."""
    from dataclasses import replace

    from magpie_core.errors import InputError
    from magpie_core.models.model import load_model
    from magpie_core.networks.build import build_network
    from magpie_core.networks.device import choose_device
    from magpie_core.networks.presets import preset
    from magpie_core.synthesis.config import GeneratorConfig
    from magpie_core.training import distributed
    from magpie_core.training.loop import LoopOptions
    from magpie_core.training.patch_sampling import SyntheticPatches, interpolate_weights, train_on_synthetic

    if start is not None and (network_name or modalities):
        raise InputError(
            "A model to go on from has its network and its modalities",
            remedy="Leave --network and --modality out, or --start",
        )
    prepare_torch(threads, seed)
    told: dict[str, Any] = {"data": "synthetic studies"}
    if recipe is not None:
        GeneratorConfig.read(recipe)  # says in words what is wrong with it
        told["recipe"] = recipe.read_text("utf-8")
    if start is None:
        name, license, spacing_mm = f"{network_name or 'magpie-s'}-synthetic", "Apache-2.0", 1.0
        config = preset(network_name or "magpie-s")
        network = build_network(replace(config, modalities=tuple(modalities)) if modalities else config)
    else:
        model = load_model(start)
        name, license = model.description.name, model.description.license
        network, spacing_mm = model.network, model.description.spacing_mm
        told |= {"data": f"synthetic studies after {model.name}", "starting model": model.hash}
    told["network"] = network.config.to_dict()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    options = LoopOptions(
        budget_steps=steps,
        budget_minutes=minutes,
        learning_rate=rate,
        precision=precision,
        shard=shard,
        seed=seed,
    )
    chosen, _ = choose_device(device, "fp32")
    backbone_mm = spacing_mm * network.config.backbone_stride
    with distributed.joined(chosen.name) as place, hold_run(out, told):
        with open_buffer(out / "ring", anatomy, generators, seed, backbone_mm, recipe) as ring:
            weights = train_on_synthetic(
                network,
                ring,
                out,
                options,
                recipe=SyntheticPatches(boxes=boxes),
                device=place,
                on_progress=tell,
            )
        record = {"data": told["data"], "rate": rate, "seed": seed, "boxes": boxes}
        if start is not None:
            weights = interpolate_weights(weights, before, kept)
            record |= {"start": model.hash, "interpolate_weights": kept}
        save_run(out, name, license, network.config, weights, record, spacing_mm)
