"""`magpie train synthetic`: on synthetic studies alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from magpie_core.commands.train.options import (
    Anatomy,
    BatchSize,
    Generators,
    Interpolation,
    LearningRate,
    NetworkName,
    Start,
    TrainingOptions,
    training_options,
)
from magpie_core.commands.train.run import (
    open_buffer,
    prepare_torch,
    print_progress,
    save_run,
    starting_network,
    training_run,
)

GeneratorFile = Annotated[
    Path | None, typer.Option("--generator-config", help="YAML file of the generator's settings.")
]
Modalities = Annotated[
    list[str] | None, typer.Option("--modality", help="Modality of the network (default: all four); may be repeated.")
]


@training_options
def synthetic(
    anatomy: Anatomy,
    learning_rate: LearningRate = 2e-3,
    generators: Generators = 1,
    network_name: NetworkName = "",
    start: Start = None,
    interpolation: Interpolation = 0.0,
    generator_config: GeneratorFile = None,
    modalities: Modalities = None,
    batch_size: BatchSize = 1,
    **options: Any,
) -> None:
    """Train a model on synthetic studies alone; the result is OUT/model."""
    from magpie_core.errors import InputError
    from magpie_core.synthesis.config import GeneratorConfig
    from magpie_core.training.loop_options import LoopOptions
    from magpie_core.training.patch_sampling import SyntheticPatches, synthetic_batches
    from magpie_core.training.segmentation_training import interpolate_weights, train

    if start is not None and (network_name or modalities):
        raise InputError(
            "--start cannot be combined with --network or --modality",
            cause="a starting model has its network and its modalities",
            remedy="Leave --network and --modality out, or --start",
        )
    training = TrainingOptions(**options)
    prepare_torch(training.threads, training.seed)
    settings: dict[str, Any] = {"data": "synthetic studies"}
    if generator_config is not None:
        GeneratorConfig.read(generator_config)  # raises InputError before anything is started
        settings["generator"] = generator_config.read_text("utf-8")
    network_name = network_name or "magpie-s"
    network, model = starting_network(start, network_name, modalities)
    name, license, spacing_mm = f"{network_name}-synthetic", "Apache-2.0", 1.0
    if model is not None:
        name, license, spacing_mm = model.description.name, model.description.license, model.description.spacing_mm
        settings |= {"data": f"synthetic studies after {model.name}", "starting model": model.hash}
    settings |= {"network": network.config.to_dict(), "batch_size": batch_size, "interpolation": interpolation}
    before = {name: value.clone() for name, value in network.state_dict().items()}
    loop = training.loop(LoopOptions(learning_rate=learning_rate))
    backbone_mm = spacing_mm * network.config.backbone_stride
    with (
        training_run(training, settings, loop) as rank_device,
        open_buffer(
            training.output / "synthetic", anatomy, generators, training.seed, backbone_mm, generator_config
        ) as source,
    ):
        assert source is not None
        batches = synthetic_batches(source, SyntheticPatches(batch_size=batch_size), network, rank_device)
        weights = train(network, batches, training.output, loop, device=rank_device, on_progress=print_progress)
        record: dict[str, Any] = {"learning_rate": learning_rate, "seed": training.seed, "batch_size": batch_size}
        record["data"] = settings["data"]
        if model is not None:
            weights = interpolate_weights(weights, before, interpolation)
            record |= {"start": model.hash, "interpolation": interpolation}
        save_run(training.output, name, license, network.config, weights, record, spacing_mm)
