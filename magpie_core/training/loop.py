"""The training loop: any source of batches, EMA weights, a budget, a log, and resuming after a kill."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from magpie_core.errors import ModelError
from magpie_core.networks.magpie_net import MagpieNet
from magpie_core.training.checkpoints import load_checkpoint, save_checkpoint
from magpie_core.training.objectives import ObjectiveWeights, region_objective


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
    at_body_resolution
        True if the images have the body's voxel size, so that the detail head is not used.
    """

    images: Tensor
    targets: Tensor
    present: Tensor
    at_body_resolution: bool


@dataclass(frozen=True)
class LoopOptions:
    """How to optimise; either budget ends the training, and the learning rate follows the nearer one.

    Attributes
    ----------
    budget_steps, budget_minutes
        Length of the whole training over all resumes.
    learning_rate
        Peak, reached after `warmup_steps`, then a cosine down to a hundredth.
    ema_decay
        Of the averaged weights, which are the result.
    checkpoint_minutes
        Time between checkpoints.
    """

    budget_steps: int = 1_000_000
    budget_minutes: float = math.inf
    learning_rate: float = 2e-3
    warmup_steps: int = 150
    weight_decay: float = 1e-2
    clip_norm: float = 3.0
    ema_decay: float = 0.998
    checkpoint_minutes: float = 5.0
    log_every: int = 50
    bf16: bool = True


def train(
    network: MagpieNet,
    draw_batch: Callable[[float], Batch],
    folder: Path,
    options: LoopOptions,
    *,
    objective: ObjectiveWeights | None = None,
    device: str = "cpu",
    on_progress: Callable[[float, dict[str, float]], None] | None = None,
) -> dict[str, Tensor]:
    """Train `network` in place; resumes from `folder` if it holds a checkpoint.

    Parameters
    ----------
    draw_batch
        Gives the next batch; its argument is the share of the budget that is spent, from 0 to 1.
    folder
        Run folder: `checkpoint.pt`, `log.jsonl`.
    on_progress
        Called with the share of the budget and the figures of every log line; may raise Cancelled.

    Returns
    -------
    dict
        The averaged weights.

    Raises
    ------
    ModelError
        If the loss becomes NaN or infinite; the last good checkpoint stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    objective = objective or ObjectiveWeights()
    network.to(device).train()
    averaged = copy.deepcopy(network).requires_grad_(False)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay, betas=(0.9, 0.98)
    )
    step, spent_s = 0, 0.0
    state = load_checkpoint(folder)
    if state is not None:
        network.load_state_dict(state["network"])
        averaged.load_state_dict(state["averaged"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent_s = int(state["step"]), float(state["spent_s"])
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
                "options": asdict(options),
            },
        )

    with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        while True:
            elapsed_minutes = (time.monotonic() - start) / 60
            spent = max(step / options.budget_steps, elapsed_minutes / options.budget_minutes)
            if spent >= 1:
                break
            rate = options.learning_rate * min(1.0, (step + 1) / max(options.warmup_steps, 1))
            rate *= 0.99 * 0.5 * (1 + math.cos(math.pi * spent)) + 0.01
            for group in optimiser.param_groups:
                group["lr"] = rate
            batch = draw_batch(spent)
            images, targets = batch.images.to(device), batch.targets.to(device)
            look = network.forward_body if batch.at_body_resolution else network
            with torch.autocast(device, torch.bfloat16, enabled=options.bf16):
                output = look(images, network.config.sequences, batch.present.to(device))
            result = region_objective(output, targets, objective)
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
            means = {key: 0.98 * means.get(key, value) + 0.02 * value for key, value in figures.items()}
            step += 1
            if step % options.log_every == 0:
                line = {
                    "step": step,
                    "minutes": round(elapsed_minutes, 2),
                    "spent": round(spent, 4),
                    "rate": rate,
                }
                line |= {key: round(value, 4) for key, value in means.items()}
                print(json.dumps(line), file=log, flush=True)
                if on_progress:
                    on_progress(spent, line)
            if time.monotonic() - last_saved > 60 * options.checkpoint_minutes:
                save()
                last_saved = time.monotonic()
    save()
    return averaged.state_dict()
