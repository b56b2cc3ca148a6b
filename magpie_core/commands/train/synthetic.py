"""`magpie train synthetic`: on synthetic studies alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from magpie_core.commands.options import DeviceName
from magpie_core.commands.train.options import (
    Anatomy,
    BatchSize,
    Generators,
    Interpolation,
    LearningRate,
    Minutes,
    NetworkName,
    Out,
    Precision,
    Seed,
    Shard,
    Start,
    Steps,
    Threads,
)
from magpie_core.commands.train.run import open_buffer, prepare_torch, print_progress, save_run, training_run

if TYPE_CHECKING:
    from magpie_core.networks.build import Network

GeneratorFile = Annotated[
    Path | None, typer.Option("--generator-config", help="YAML file of the generator's settings.")
]
Modalities = Annotated[
    list[str] | None, typer.Option("--modality", help="Modality of the network (default: all four); may be repeated.")
]


def synthetic(
    anatomy: Anatomy,
    out: Out,
    minutes: Minutes = math.inf,
    steps: Steps = 1_000_000,
    learning_rate: LearningRate = 2e-3,
    seed: Seed = 0,
    threads: Threads = 1,
    generators: Generators = 1,
    network_name: NetworkName = "",
    start: Start = None,
    interpolation: Interpolation = 0.0,
    generator_config: GeneratorFile = None,
    modalities: Modalities = None,
    batch_size: BatchSize = 1,
    device: DeviceName = "auto",
    precision: Precision = "auto",
    shard: Shard = False,
) -> None:
    """Train a model on synthetic studies alone; the result is OUT/model."""
    from magpie_core.errors import InputError
    from magpie_core.synthesis.config import GeneratorConfig
    from magpie_core.training.loop_options import LoopOptions
    from magpie_core.training.patch_sampling import SyntheticPatches
    from magpie_core.training.segmentation_training import interpolate_weights, train_on_synthetic

    if start is not None and (network_name or modalities):
        raise InputError(
            "--start cannot be combined with --network or --modality",
            cause="a starting model has its network and its modalities",
            remedy="Leave --network and --modality out, or --start",
        )
    prepare_torch(threads, seed)
    settings: dict[str, Any] = {"data": "synthetic studies"}
    if generator_config is not None:
        GeneratorConfig.read(generator_config)  # raises InputError before anything is started
        settings["generator"] = generator_config.read_text("utf-8")
    network, name, license, spacing_mm = _starting_network(start, network_name, modalities, settings)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    options = LoopOptions(
        budget_steps=steps,
        budget_minutes=minutes,
        learning_rate=learning_rate,
        precision=precision,
        shard=shard,
        seed=seed,
    )
    backbone_mm = spacing_mm * network.config.backbone_stride
    with (
        training_run(out, settings, device) as rank_device,
        open_buffer(out / "synthetic", anatomy, generators, seed, backbone_mm, generator_config) as source,
    ):
        assert source is not None
        weights = train_on_synthetic(
            network,
            source,
            out,
            options,
            patches=SyntheticPatches(batch_size=batch_size),
            device=rank_device,
            on_progress=print_progress,
        )
        record = {"learning_rate": learning_rate, "seed": seed, "batch_size": batch_size}
        record["data"] = settings["data"]
        if start is not None:
            weights = interpolate_weights(weights, before, interpolation)
            record |= {"start": settings["starting model"], "interpolation": interpolation}
        save_run(out, name, license, network.config, weights, record, spacing_mm)


def _starting_network(
    start: Path | None, network_name: str, modalities: list[str] | None, settings: dict[str, Any]
) -> tuple[Network, str, str, float]:
    """Return the network, name, license and voxel size (mm) to start from; note them in the settings."""
    from dataclasses import replace

    from magpie_core.models.model import load_model
    from magpie_core.networks.build import build_network
    from magpie_core.networks.presets import preset

    if start is None:
        name = network_name or "magpie-s"
        config = preset(name)
        network = build_network(replace(config, modalities=tuple(modalities)) if modalities else config)
        settings["network"] = network.config.to_dict()
        return network, f"{name}-synthetic", "Apache-2.0", 1.0
    model = load_model(start)
    settings |= {"data": f"synthetic studies after {model.name}", "starting model": model.hash}
    settings["network"] = model.network.config.to_dict()
    description = model.description
    return model.network, description.name, description.license, description.spacing_mm
