"""What the trainings share: torch's settings, the run folder, synthetic studies, progress, the model at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from torch import Tensor

    from magpie_core.commands.train.options import TrainingOptions
    from magpie_core.models.model import Model
    from magpie_core.networks.build import Network
    from magpie_core.networks.config import AnyConfig
    from magpie_core.training.loop_options import LoopOptions
    from magpie_core.training.synthetic_buffer import SyntheticBuffer


def prepare_torch(threads: int, seed: int) -> None:
    """Set threads and seed, and flush denormal numbers to zero, which are slow."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(seed)


def starting_network(
    start: Path | None, network_name: str, modalities: list[str] | None = None
) -> tuple[Network, Model | None]:
    """Return the network to start from, and its model; a new network if `start` is None."""
    from magpie_core.models.model import load_model
    from magpie_core.networks.build import build_network
    from magpie_core.networks.presets import preset

    if start is not None:
        model = load_model(start)
        return model.network, model
    config = preset(network_name)
    return build_network(replace(config, modalities=tuple(modalities)) if modalities else config), None


@contextmanager
def training_run(training: TrainingOptions, settings: Mapping[str, Any], loop: LoopOptions) -> Iterator[str]:
    """Join the process group and lock the run folder; yield this rank's device."""
    from magpie_core.networks.device import choose_device
    from magpie_core.training import distributed
    from magpie_core.training.loop_options import settings_of

    chosen, _ = choose_device(training.device, "fp32")
    with (
        distributed.process_group(chosen.name) as rank_device,
        lock_run(training.output, {**settings, **settings_of(loop)}),
    ):
        yield rank_device


@contextmanager
def lock_run(out: Path, settings: Mapping[str, Any]) -> Iterator[None]:
    """Lock the run folder (in rank 0) for a training with these settings; refuse one that is complete."""
    from magpie_core.errors import InputError
    from magpie_core.training import distributed
    from magpie_core.training.run_folder import open_run

    if (out / "model").exists():
        raise InputError(
            "The training in this folder is complete",
            cause=f"its model is in {out / 'model'}",
            remedy="To train it further, choose another folder and start from this model",
            source=str(out),
        )
    if distributed.rank() > 0:
        yield
        return
    with open_run(out, settings, outputs=("checkpoint*.pt",)):
        yield


@contextmanager
def open_buffer(
    folder: Path | None,
    anatomy: Path | None,
    generators: int,
    seed: int,
    spacing_mm: float,
    generator_config: Path | None = None,
) -> Iterator[SyntheticBuffer | None]:
    """Yield a buffer of synthetic studies that rank 0 fills and all ranks draw from; None without a folder."""
    from magpie_core.training import distributed
    from magpie_core.training.synthetic_buffer import SyntheticBuffer

    if folder is None:
        yield None
        return
    is_main = distributed.rank() == 0
    buffer = SyntheticBuffer(
        folder,
        anatomy=anatomy,
        spacing_mm=spacing_mm,
        generators=generators if is_main else 0,
        filled_elsewhere=not is_main,
        seed=seed,
        generator_config=generator_config,
    )
    with buffer:
        yield buffer


def print_main(message: str) -> None:
    """Print a message to stderr, in rank 0 alone."""
    from magpie_core.training import distributed

    if distributed.rank() == 0:
        typer.echo(message, err=True)


def print_progress(progress: float, metrics: dict[str, float]) -> None:
    """Print the progress (0 to 1) and the losses of a training."""
    dice = ", ".join(f"{key[5:]} {value:.3f}" for key, value in metrics.items() if key.startswith("dice_"))
    losses = f"  Dice {dice}" if dice else ""
    for key in ("reconstruction", "contrast"):
        losses += f"  {key} {metrics[key]:.3f}" if key in metrics else ""
    typer.echo(f"{progress:6.1%}  step {int(metrics['step'])}  loss {metrics['loss']:.3f}{losses}", err=True)


def save_run(
    out: Path,
    name: str,
    license: str,
    config: AnyConfig,
    weights: dict[str, Tensor],
    record: dict[str, Any],
    spacing_mm: float = 1.0,
) -> None:
    """Write the model to OUT/model, in rank 0 alone; `record` and what the checkpoint tells are kept with it."""
    from magpie_core.models.description import ModelDescription
    from magpie_core.models.model import save_model
    from magpie_core.training import distributed
    from magpie_core.training.checkpoints import load_checkpoint

    if distributed.rank() > 0:
        return
    record["processes"] = distributed.world_size()
    state = load_checkpoint(out) or {}
    record |= {"steps": int(state["step"]), "minutes": round(float(state["elapsed_s"]) / 60, 1)}
    description = ModelDescription(
        name=name, version="0.1.0", license=license, network=config.to_dict(), spacing_mm=spacing_mm, training=record
    )
    card = f"# {name}\n\nTrained on {record['data']}. Research use only, not for clinical decisions.\n"
    save_model(out / "model", description, weights, card=card)
    typer.echo(f"The model is in {out / 'model'}")
