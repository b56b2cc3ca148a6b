"""`magpie train pretraining`: on unlabeled studies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from magpie_core.commands.options import ranged
from magpie_core.commands.train.options import (
    BATCH,
    RATE,
    BufferFolder,
    Generators,
    License,
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
from magpie_core.storage.config import to_plain
from magpie_core.storage.ranges import STEPS, VOXELS

Datasets = Annotated[
    list[Path] | None,
    typer.Option("--dataset", help="Pretraining dataset, or folder of packed samples; may be repeated."),
]
OptionalAnatomy = Annotated[Path | None, typer.Option(help="Label maps of heads, to generate synthetic studies.")]
Preset = Annotated[str, typer.Option("--preset", help="Preset: magpie, paper or amaes.")]
OptionalRate = Annotated[float | None, typer.Option(help="Peak learning rate; default: the preset's.", **ranged(RATE))]
ViewSize = Annotated[
    tuple[int, int, int] | None,
    typer.Option(help="Size of a view in voxels (R, A, S); default: the preset's.", **ranged(VOXELS)),
]
BlockSize = Annotated[
    int | None, typer.Option(help="Edge of a masked block in voxels; default: the preset's.", **ranged(VOXELS))
]
SubjectsPerStep = Annotated[
    int | None,
    typer.Option("--batch-size", help="Subjects per step and process; default: the preset's.", **ranged(BATCH)),
]
ValidateEvery = Annotated[
    int, typer.Option(help="Steps between validations with pictures; 0 for none.", **ranged(STEPS))
]
Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="Train deterministically, even after a kill; needs --steps.")
]
TensorBoard = Annotated[bool, typer.Option("--tensorboard", help="Write the log for TensorBoard too.")]


@training_options
def pretraining(
    datasets: Datasets = None,
    buffer_folder: BufferFolder = None,
    anatomy: OptionalAnatomy = None,
    generators: Generators = 1,
    preset_name: Preset = "magpie",
    network_name: NetworkName = "magpie-s",
    start: Start = None,
    learning_rate: OptionalRate = None,
    view_size: ViewSize = None,
    block_size: BlockSize = None,
    batch_size: SubjectsPerStep = None,
    validate_every: ValidateEvery = 250,
    deterministic: Deterministic = False,
    tensorboard: TensorBoard = False,
    license: License = "CC-BY-NC-SA-4.0",
    **options: Any,
) -> None:
    """Pretrain a network without labels (masked autoencoding, contrastive loss); the result is OUT/model."""
    from dataclasses import replace

    from magpie_core.errors import InputError
    from magpie_core.pretraining.config import pretraining_preset
    from magpie_core.pretraining.mixed_source import MixedSource
    from magpie_core.pretraining.pretrain import pretrain

    if anatomy is not None and buffer_folder is None:
        raise InputError(
            "--anatomy needs --synthetic-buffer",
            cause="--anatomy generates synthetic studies, and --synthetic-buffer names their folder",
            remedy="Add --synthetic-buffer FOLDER, or leave --anatomy out",
        )
    training = TrainingOptions(**options)
    prepare_torch(training.threads, training.seed)
    config, preset_loop = pretraining_preset(preset_name)
    config = replace(config, **_given(view_size=view_size, block_size=block_size, batch_size=batch_size))
    loop = training.loop(replace(preset_loop, tensorboard=tensorboard, **_given(learning_rate=learning_rate)))
    loop = replace(loop, deterministic=deterministic)
    network, model = starting_network(start, network_name)
    record: dict[str, Any] = {} if model is None else {"start": model.hash}
    settings = {"preset": preset_name, "network": network.config.to_dict(), "options": to_plain(config), **record}
    record |= {
        "data": f"unlabeled studies alone (preset {preset_name}); its region heads are not trained yet",
        "learning_rate": loop.learning_rate,
        "seed": training.seed,
    }
    name = network_name if model is None else model.description.name.removesuffix("-pretrained")
    spacing_mm = 1.0 if model is None else model.description.spacing_mm
    backbone_mm = spacing_mm * network.config.backbone_stride
    folders = [*(datasets or [])]
    if buffer_folder is not None and anatomy is None:
        folders.append(buffer_folder)
    with (
        training_run(training, settings, loop) as rank_device,
        open_buffer(buffer_folder if anatomy else None, anatomy, generators, training.seed, backbone_mm) as buffer,
    ):
        buffers = [] if buffer is None else [buffer]
        source = MixedSource(folders, others=buffers, spacing_mm=backbone_mm, unit_range=config.unit_range)
        weights = pretrain(
            network, source, training.output, loop,
            config=config, validation_source=source.validation(), validate_every=validate_every,
            device=rank_device, on_progress=print_progress,
        )  # fmt: skip
        save_run(training.output, f"{name}-pretrained", license, network.config, weights, record, spacing_mm)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
