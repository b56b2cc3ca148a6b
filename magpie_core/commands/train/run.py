"""What the trainings share: processors, synthetic samples, progress, the model at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from magpie_core.networks.build import AnyConfig
    from magpie_core.training.synthetic_buffer import SyntheticBuffer


def prepare_torch(threads: int, seed: int) -> None:
    """Threads, seed, and tiny numbers taken for zero, which are slow."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(seed)


@contextmanager
def hold_run(out: Path, told: Mapping[str, Any]) -> Iterator[None]:
    """Hold the run folder (in the first process) for a training of what is `told`; refuse one that has ended."""
    from magpie_core.errors import InputError
    from magpie_core.training import distributed
    from magpie_core.training.run_folder import open_run

    if (out / "model").exists():
        raise InputError(
            "The training in this folder has ended",
            cause=f"its model is in {out / 'model'}",
            remedy="To teach it further, choose another folder and start from this model",
            source=str(out),
        )
    if distributed.number() > 0:
        yield
        return
    with open_run(out, told, learned=("checkpoint*.pt",)):
        yield


def open_buffer(
    folder: Path,
    anatomy: Path | None,
    generators: int,
    seed: int,
    spacing_mm: float,
    recipe: Path | None = None,
) -> SyntheticBuffer:
    """A ring that the first of several processes fills and all of them draw from."""
    from magpie_core.training import distributed
    from magpie_core.training.synthetic_buffer import SyntheticBuffer

    first = distributed.number() == 0
    return SyntheticBuffer(
        folder,
        anatomy=anatomy,
        spacing_mm=spacing_mm,
        generators=generators if first else 0,
        filled_elsewhere=not first,
        seed=seed,
        recipe=recipe,
    )


def tell(spent: float, figures: dict[str, float]) -> None:
    """Say how far a training is and what its losses are."""
    dice = ", ".join(f"{key[5:]} {value:.3f}" for key, value in figures.items() if key.startswith("dice_"))
    told = f"  Dice {dice}" if dice else ""
    for key in ("reconstruction", "contrast"):
        told += f"  {key} {figures[key]:.3f}" if key in figures else ""
    typer.echo(f"{spent:6.1%}  step {int(figures['step'])}  loss {figures['loss']:.3f}{told}", err=True)


def save_run(
    out: Path,
    name: str,
    license: str,
    config: AnyConfig,
    weights: dict,
    record: dict,
    spacing_mm: float = 1.0,
) -> None:
    """Write the model, in the first process alone."""
    from magpie_core.models.description import ModelDescription
    from magpie_core.models.model import save_model
    from magpie_core.training import distributed
    from magpie_core.training.checkpoints import load_checkpoint

    if distributed.number() > 0:
        return
    record["processes"] = distributed.count()
    state = load_checkpoint(out) or {}
    record |= {"steps": int(state["step"]), "minutes": round(float(state["spent_s"]) / 60, 1)}
    description = ModelDescription(
        name=name,
        version="0.1.0",
        license=license,
        network=config.to_dict(),
        spacing_mm=spacing_mm,
        training=record,
    )
    card = f"# {name}\n\nTaught by {record['data']}. Research use only, not for clinical decisions.\n"
    save_model(out / "model", description, weights, card=card)
    typer.echo(f"The model is in {out / 'model'}")
