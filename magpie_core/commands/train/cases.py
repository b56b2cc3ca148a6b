"""`magpie train cases`: on labeled cases."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from magpie_core.commands.options import ranged
from magpie_core.commands.train.options import (
    PROCESSES,
    BatchSize,
    BufferFolder,
    Interpolation,
    LearningRate,
    License,
    NetworkName,
    TrainingOptions,
    training_options,
)
from magpie_core.commands.train.run import (
    open_buffer,
    prepare_torch,
    print_main,
    print_progress,
    save_run,
    training_run,
)
from magpie_core.storage.ranges import FOLDS, Range

if TYPE_CHECKING:
    from magpie_core.models.model import Model
    from magpie_core.networks.build import Network
    from magpie_core.training.sample import Sample

CasesFolder = Annotated[Path, typer.Option("--cases", help="Folder of labeled cases.")]
Schema = Annotated[str, typer.Option(help="Label schema of the cases, such as brats-2022.")]
Start = Annotated[Path, typer.Option(help="Model folder to start from.")]
OptionalAnatomy = Annotated[
    Path | None, typer.Option(envvar="MAGPIE_ANATOMY", help="Label maps of heads, to generate synthetic studies.")
]
FreezeStart = Annotated[
    bool, typer.Option("--freeze-start", help="Freeze the starting model; train the added parts alone.")
]
FaintLesions = Annotated[bool, typer.Option(help="Augment with tumors of reduced contrast.")]
ExpertOverlap = Annotated[
    bool, typer.Option("--expert-overlap-loss/--no-expert-overlap-loss", help="Make experts divide the tumor.")
]
Fold = Annotated[int, typer.Option(help="Fold to hold out; -1 trains on all cases.", **ranged(Range(-1, 999)))]
OptionalGenerators = Annotated[
    int | None,
    typer.Option(
        help="Processes that generate synthetic studies; default: 1 with --anatomy and without --synthetic-buffer.",
        **ranged(PROCESSES),
    ),
]

_SETTINGS = ("start", "freeze_start", "faint_lesions", "expert_overlap_loss", "interpolation", "batch_size", "held_out")


@training_options
def cases(
    folder: CasesFolder,
    schema: Schema,
    start: Start,
    anatomy: OptionalAnatomy = None,
    buffer_folder: BufferFolder = None,
    network_name: NetworkName = "",
    freeze_start: FreezeStart = False,
    faint_lesions: FaintLesions = True,
    expert_overlap_loss: ExpertOverlap = True,
    interpolation: Interpolation = 0.0,
    learning_rate: LearningRate = 1e-3,
    fold: Fold = -1,
    folds: Annotated[int, typer.Option(help="Number of folds.", **ranged(FOLDS))] = 4,
    generators: OptionalGenerators = None,
    license: License = "CC-BY-NC-SA-4.0",
    batch_size: BatchSize = 1,
    **options: Any,
) -> None:
    """Train a model on labeled cases, with synthetic studies mixed in; the result is OUT/model."""
    from magpie_core.models.model import load_model
    from magpie_core.training.loop_options import LoopOptions
    from magpie_core.training.losses import LossWeights
    from magpie_core.training.patch_sampling import CasePatches
    from magpie_core.training.segmentation_training import interpolate_weights, train_on_cases

    generators = int(anatomy is not None and buffer_folder is None) if generators is None else generators
    training = TrainingOptions(**options)
    if anatomy is not None:
        buffer_folder = buffer_folder or training.output / "synthetic"
    prepare_torch(training.threads, training.seed)
    model = load_model(start)
    spacing_mm = model.description.spacing_mm
    network = _extend(model, network_name, freeze_start)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    samples, held_out = _read_cases(folder, schema, spacing_mm, fold, folds)
    patches = CasePatches(batch_size=batch_size)
    if not faint_lesions:
        patches = replace(patches, augmentation=replace(patches.augmentation, faint=0.0))
    if not expert_overlap_loss:
        patches = replace(patches, loss_weights=LossWeights())
    loop = training.loop(LoopOptions(learning_rate=learning_rate, ema_decay=0.995, warmup_steps=50))
    record = {
        "data": f"{len(samples)} labeled cases after {model.name}",
        "start": model.hash,
        "interpolation": interpolation,
        "freeze_start": freeze_start,
        "faint_lesions": faint_lesions,
        "expert_overlap_loss": expert_overlap_loss,
        "cases": [sample.name for sample in samples],
        "held_out": held_out,
        "learning_rate": learning_rate,
        "seed": training.seed,
        "batch_size": batch_size,
    }
    settings = {key: record[key] for key in _SETTINGS}
    settings["network"] = network.config.to_dict()
    settings["cases"] = {sample.name: sha256(sample.packed.tobytes()).hexdigest() for sample in samples}
    backbone_mm = spacing_mm * network.config.backbone_stride
    with (
        training_run(training, settings, loop) as rank_device,
        open_buffer(buffer_folder, anatomy, generators, training.seed, backbone_mm) as synthetic,
    ):
        print_main(f"{len(samples)} training cases, {len(held_out)} held out")
        weights = train_on_cases(
            network, samples, synthetic, training.output, loop,
            patches=patches, device=rank_device, on_progress=print_progress,
        )  # fmt: skip
        weights = interpolate_weights(weights, before, interpolation)
        name = model.description.name.removesuffix("-synthetic")
        save_run(training.output, name, license, network.config, weights, record, spacing_mm)


def _extend(model: Model, network_name: str, freeze_start: bool) -> Network:
    """Return the model's network, extended if another is named, the start frozen if asked (InputError if all is)."""
    from magpie_core.errors import InputError
    from magpie_core.networks.build import extend_network
    from magpie_core.networks.presets import preset

    names = {name for name, _ in model.network.named_parameters()}
    network = extend_network(model.network, preset(network_name)) if network_name else model.network
    if freeze_start:
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name not in names)
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise InputError(
                "--freeze-start leaves nothing to train",
                cause="the starting model has all parts of the network already",
                remedy="Name a network with more parts with --network, or leave --freeze-start out",
            )
    return network


def _read_cases(folder: Path, schema: str, spacing_mm: float, fold: int, folds: int) -> tuple[list[Sample], list[str]]:
    """Read the training cases; return them, and the names of those held out."""
    from magpie_core.training.labeled_cases import CaseReader, fold_cases, list_cases

    training, held_out = list_cases(folder), list[Path]()
    if fold >= 0:
        training, held_out = fold_cases(training, fold, folds)
    reader = CaseReader(schema, spacing_mm=spacing_mm)
    return [reader.read(case) for case in training], [case.name for case in held_out]
