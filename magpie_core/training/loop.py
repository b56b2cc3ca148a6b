"""The training loop: any source of batches, EMA weights, a budget, a log, and resuming after a kill."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from magpie_core.errors import ModelError
from magpie_core.networks.build import Network
from magpie_core.networks.output import NetworkOutput
from magpie_core.training.checkpoints import load_checkpoint, save_checkpoint
from magpie_core.training.objectives import Objective, region_objective
from magpie_core.training.validation import Validation


@dataclass(frozen=True)
class Batch:
    """One optimisation step's input.

    Attributes
    ----------
    images
        (B, S, D, H, W) scaled, zero outside the brain and where a sequence is absent.
    targets
        (B, K, D, H, W) region masks, 0 or 1, float.
    present
        (B, S) bool.
    sequences
        Names of the S images.
    at_body_resolution
        True if the images have the body's voxel size, so that the detail head is not used.
    voxels
        (B, 1, D, H, W): how far each voxel counts; all do by default.
    """

    images: Tensor
    targets: Tensor
    present: Tensor
    sequences: tuple[str, ...]
    at_body_resolution: bool
    voxels: Tensor | None = None


@dataclass(frozen=True)
class LoopOptions:
    """How to optimise; either budget ends the training, and the learning rate follows the nearer one.

    Attributes
    ----------
    budget_steps, budget_minutes
        Length of the whole training over all resumes.
    optimiser
        "adamw", or "sgd" with momentum 0.9 (Nesterov).
    learning_rate
        Peak, reached after `warmup_steps`.
    schedule
        How it falls from there: "cosine" to a hundredth, or "poly" (power 0.9) to zero.
    ema_decay
        Of the averaged weights, which are the result.
    checkpoint_minutes
        Time between checkpoints.
    seed
        Of everything random: each step draws from its own generator, seeded by this and the step's number, so that a
        resumed training takes the same steps. With a budget in steps and one thread it ends bit-identical.
    """

    budget_steps: int = 1_000_000
    budget_minutes: float = math.inf
    optimiser: str = "adamw"
    learning_rate: float = 2e-3
    schedule: str = "cosine"
    warmup_steps: int = 150
    weight_decay: float = 1e-2
    clip_norm: float = 3.0
    ema_decay: float = 0.998
    checkpoint_minutes: float = 5.0
    log_every: int = 50
    bf16: bool = True
    seed: int = 0


def train(
    network: Network,
    draw_batch: Callable[[float, np.random.Generator], Batch],
    folder: Path,
    options: LoopOptions,
    *,
    objective: Callable[[NetworkOutput, Tensor, float, Tensor | None], Objective] = region_objective,
    validation: Validation | None = None,
    device: str = "cpu",
    on_progress: Callable[[float, dict[str, float]], None] | None = None,
) -> dict[str, Tensor]:
    """Train `network` in place; resumes from `folder` if it holds a checkpoint.

    Parameters
    ----------
    draw_batch
        Gives the next batch, from the share of the budget that is spent (0 to 1) and the step's generator.
    folder
        Run folder: `checkpoint.pt`, `log.jsonl`.
    objective
        What to minimise, given the output, the targets, the spent share and the voxels' weights.
    validation
        For early stopping; none by default.
    on_progress
        Called with the share of the budget and the figures of every log line; may raise Cancelled.

    Returns
    -------
    dict
        The averaged weights; with `validation`, the best of them.

    Raises
    ------
    ModelError
        If the loss becomes NaN or infinite; the last good checkpoint stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    network.to(device).train()
    averaged = copy.deepcopy(network).requires_grad_(False)
    optimiser = _optimiser(network, options)
    step, spent_s = 0, 0.0
    best, best_dice, looks_since = None, -1.0, 0
    last_dice: float | None = None
    state = load_checkpoint(folder)
    if state is not None:
        network.load_state_dict(state["network"])
        averaged.load_state_dict(state["averaged"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent_s = int(state["step"]), float(state["spent_s"])
        best, best_dice, looks_since = state.get("validation", (best, best_dice, looks_since))
    start = time.monotonic() - spent_s
    last_saved = time.monotonic()
    means: dict[str, float] = {}

    def save() -> None:
        save_checkpoint(
            folder,
            {
                "network": network.state_dict(),
                "averaged": averaged.state_dict(),
                "optimiser": optimiser.state_dict(),
                "step": step,
                "spent_s": time.monotonic() - start,
                "validation": (best, best_dice, looks_since),
                "options": asdict(options),
            },
        )

    with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        while True:
            elapsed_minutes = (time.monotonic() - start) / 60
            spent = max(step / options.budget_steps, elapsed_minutes / options.budget_minutes)
            if spent >= 1 or (validation and looks_since >= validation.patience):
                break
            rate = options.learning_rate * min(1.0, (step + 1) / max(options.warmup_steps, 1))
            if options.schedule == "poly":
                rate *= (1 - spent) ** 0.9
            else:
                rate *= 0.99 * 0.5 * (1 + math.cos(math.pi * spent)) + 0.01
            for group in optimiser.param_groups:
                group["lr"] = rate
            random = np.random.default_rng((options.seed, step))
            torch.manual_seed(int(random.integers(2**63)))
            batch = draw_batch(spent, random)
            images, targets = batch.images.to(device), batch.targets.to(device)
            with torch.autocast(device, torch.bfloat16, enabled=options.bf16):
                output = network(
                    images,
                    batch.sequences,
                    batch.present.to(device),
                    at_body_resolution=batch.at_body_resolution,
                )
            voxels = None if batch.voxels is None else batch.voxels.to(device)
            result = objective(output, targets, spent, voxels)
            optimiser.zero_grad(set_to_none=True)
            result.loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(network.parameters(), options.clip_norm)
            figures = {"loss": float(result.loss.detach()), "gradient_norm": float(norm)}
            if not all(math.isfinite(value) for value in figures.values()):
                raise ModelError(
                    f"Training became unstable at step {step}",
                    cause="the loss is not a finite number",
                    remedy="Lower the learning rate and start again from the last checkpoint",
                    source=str(folder),
                )
            optimiser.step()
            decay = min(options.ema_decay, (1 + step) / (10 + step))
            with torch.no_grad():
                for average, value in zip(averaged.parameters(), network.parameters(), strict=True):
                    average.lerp_(value, 1 - decay)
            for name, dice in zip(network.config.regions, result.region_dice.tolist(), strict=True):
                figures[f"dice_{name}"] = dice
            for index, routing in enumerate(output.routing):
                figures[f"balance_{index}"] = float(routing.balance_loss.detach())
                figures[f"entropy_{index}"] = float(routing.entropy)
                for expert, load in enumerate(routing.load.tolist()):
                    figures[f"load_{index}_{expert}"] = load
            means = {key: 0.98 * means.get(key, value) + 0.02 * value for key, value in figures.items()}
            step += 1
            if validation and step % validation.every_steps == 0:
                dice_found = validation.score(averaged)
                last_dice = dice_found
                looks_since += 1
                if dice_found > best_dice:
                    best, best_dice, looks_since = copy.deepcopy(averaged.state_dict()), dice_found, 0
            if step % options.log_every == 0:
                line = {
                    "step": step,
                    "minutes": round(elapsed_minutes, 2),
                    "spent": round(spent, 4),
                    "rate": rate,
                }
                line |= {key: round(value, 4) for key, value in means.items()}
                if last_dice is not None:
                    line["validation_dice"] = round(last_dice, 4)
                print(json.dumps(line), file=log, flush=True)
                if on_progress:
                    on_progress(spent, line)
            if time.monotonic() - last_saved > 60 * options.checkpoint_minutes:
                save()
                last_saved = time.monotonic()
    save()
    return best if best is not None else averaged.state_dict()


def _optimiser(network: Network, options: LoopOptions) -> torch.optim.Optimizer:
    if options.optimiser == "sgd":
        return torch.optim.SGD(
            network.parameters(),
            lr=options.learning_rate,
            momentum=0.9,
            nesterov=True,
            weight_decay=options.weight_decay,
        )
    return torch.optim.AdamW(
        network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay, betas=(0.9, 0.98)
    )
