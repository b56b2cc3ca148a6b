"""`magpie train pretraining`: on unlabeled studies."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from magpie_core.commands.options import DeviceName
from magpie_core.commands.train.options import (
    BufferFolder,
    Generators,
    License,
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
    from magpie_core.pretraining.config import PretrainingConfig
    from magpie_core.training.loop_options import LoopOptions

T = TypeVar("T", "PretrainingConfig", "LoopOptions")
Datasets = Annotated[
    list[Path] | None,
    typer.Option("--dataset", help="Pretraining dataset, or folder of packed samples; may be repeated."),
]
OptionalAnatomy = Annotated[Path | None, typer.Option(help="Label maps of heads, to generate synthetic studies.")]
Preset = Annotated[str, typer.Option("--preset", help="Preset: magpie, paper or amaes.")]
OptionalRate = Annotated[float | None, typer.Option(help="Peak learning rate; default: the preset's.")]
ViewSize = Annotated[
    tuple[int, int, int] | None, typer.Option(help="Size of a view in voxels (R, A, S); default: the preset's.")
]
BlockSize = Annotated[int | None, typer.Option(help="Edge of a masked block in voxels; default: the preset's.")]
SubjectsPerStep = Annotated[
    int | None, typer.Option("--batch-size", help="Subjects per step and process; default: the preset's.")
]
ValidateEvery = Annotated[int, typer.Option(help="Steps between validations with pictures; 0 for none.")]
Deterministic = Annotated[
    bool, typer.Option("--deterministic", help="Train deterministically, even after a kill; needs --steps.")
]
TensorBoard = Annotated[bool, typer.Option("--tensorboard", help="Write the log for TensorBoard too.")]


def pretraining(
    out: Out,
    datasets: Datasets = None,
    buffer_folder: BufferFolder = None,
    anatomy: OptionalAnatomy = None,
    generators: Generators = 1,
    preset_name: Preset = "magpie",
    network_name: NetworkName = "magpie-s",
    start: Start = None,
    minutes: Minutes = math.inf,
    steps: Steps = 1_000_000,
    learning_rate: OptionalRate = None,
    view_size: ViewSize = None,
    block_size: BlockSize = None,
    batch_size: SubjectsPerStep = None,
    validate_every: ValidateEvery = 250,
    device: DeviceName = "auto",
    precision: Precision = "auto",
    deterministic: Deterministic = False,
    shard: Shard = False,
    tensorboard: TensorBoard = False,
    license: License = "CC-BY-NC-SA-4.0",
    seed: Seed = 0,
    threads: Threads = 1,
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
    prepare_torch(threads, seed)
    config, options = pretraining_preset(preset_name)
    config = _changed(config, view_size=view_size, block_size=block_size, batch_size=batch_size)
    options = replace(
        _changed(options, learning_rate=learning_rate),
        budget_steps=steps,
        budget_minutes=minutes,
        precision=precision,
        deterministic=deterministic,
        shard=shard,
        tensorboard=tensorboard,
        seed=seed,
    )
    network, record, spacing_mm = _starting_network(start, network_name)
    name = record.pop("name")
    settings = {"preset": preset_name, "network": network.config.to_dict(), **record}
    record |= {
        "data": f"unlabeled studies alone (preset {preset_name}); its region heads are not trained yet",
        "learning_rate": options.learning_rate,
        "seed": seed,
    }
    backbone_mm = spacing_mm * network.config.backbone_stride
    folders = [*(datasets or [])]
    if buffer_folder is not None and anatomy is None:
        folders.append(buffer_folder)
    with (
        training_run(out, settings, device) as rank_device,
        open_buffer(buffer_folder if anatomy else None, anatomy, generators, seed, backbone_mm) as buffer,
    ):
        buffers = [] if buffer is None else [buffer]
        source = MixedSource(folders, others=buffers, spacing_mm=backbone_mm, unit_range=config.unit_range)
        weights = pretrain(
            network, source, out, options,
            config=config, validation_source=source.validation(), validate_every=validate_every,
            device=rank_device, on_progress=print_progress,
        )  # fmt: skip
        save_run(out, name, license, network.config, weights, record, spacing_mm)


def _starting_network(start: Path | None, network_name: str) -> tuple[Network, dict[str, Any], float]:
    """Return the network to start from; the new model's name and the hash of the start; the voxel size in mm."""
    from magpie_core.models.model import load_model
    from magpie_core.networks.build import build_network
    from magpie_core.networks.presets import preset

    if start is None:
        return build_network(preset(network_name)), {"name": f"{network_name}-pretrained"}, 1.0
    model = load_model(start)
    name = f"{model.description.name.removesuffix('-pretrained')}-pretrained"
    return model.network, {"name": name, "start": model.hash}, model.description.spacing_mm


def _changed(options: T, **values: Any) -> T:
    """Replace the options that are given, those that are not None."""
    from dataclasses import replace

    return replace(options, **{name: value for name, value in values.items() if value is not None})
