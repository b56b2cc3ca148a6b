"""The training loop: any network and steps, EMA weights, a budget, a log, and resuming after a kill."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from magpie_core.errors import InputError, ModelError
from magpie_core.networks.build import Network
from magpie_core.networks.device import choose_precision
from magpie_core.networks.output import NetworkOutput
from magpie_core.training import distributed
from magpie_core.training.batch import Batch
from magpie_core.training.checkpoints import clear_scratch, load_checkpoint, save_checkpoint
from magpie_core.training.loop_options import LoopOptions
from magpie_core.training.losses import Objective, region_loss
from magpie_core.training.run_log import RunLog
from magpie_core.training.segmentation_step import SegmentationStep
from magpie_core.training.sharding import average_rest, divide, whole
from magpie_core.training.step import Step, TakesSteps
from magpie_core.training.validation import Validation

__all__ = ["Batch", "LoopOptions", "Callback", "optimize", "train"]


class Validator(Protocol):
    """Scores the averaged weights for early stopping, as `Validation` does."""

    @property
    def every_steps(self) -> int:
        """Time between looks."""

    @property
    def patience(self) -> int:
        """Looks in a row without a better score after which the training stops."""

    def score(self, network: Any) -> float:
        """How good the weights are; greater is better."""


class Callback(Protocol):
    """Looks at the averaged weights now and then, in the first process alone."""

    every_steps: int

    def look(self, averaged: nn.Module, step: int) -> dict[str, float]:
        """Figures for the log."""


def train(
    network: Network,
    draw_batch: Callable[[float, np.random.Generator], Batch],
    folder: Path,
    options: LoopOptions,
    *,
    objective: Callable[[NetworkOutput, Tensor, float, Tensor | None], Objective] = region_loss,
    validation: Validation | None = None,
    device: str = "cpu",
    on_progress: Callable[[float, dict[str, float]], None] | None = None,
) -> dict[str, Tensor]:
    """Teach `network` segmentation in place; resumes from `folder` if it holds a checkpoint.

    Parameters
    ----------
    draw_batch, objective
        See `SegmentationStep`.
    folder, options, validation, device, on_progress
        See `optimize`.

    Returns
    -------
    dict
        The averaged weights, in the processor's memory; with `validation`, the best of them.

    Raises
    ------
    ModelError, ResourceError
        As `optimize`.
    """
    take_step = SegmentationStep(draw_batch, objective, network.config.regions, device)
    return optimize(
        network, take_step, folder, options, validation=validation, device=device, on_progress=on_progress
    )


def optimize(
    network: nn.Module,
    take_step: TakesSteps,
    folder: Path,
    options: LoopOptions,
    *,
    validation: Validator | None = None,
    watch: Callback | None = None,
    device: str = "cpu",
    on_progress: Callable[[float, dict[str, float]], None] | None = None,
) -> dict[str, Tensor]:
    """Train `network` in place; resumes from `folder` if it holds a checkpoint.

    Within `distributed.joined`, every process takes its part of each step and gradients are averaged (DDP); the
    first one alone writes, and all of them read the folder. With `options.shard` the network is divided among them
    (FSDP), and stays so; the checkpoints are the same.

    Parameters
    ----------
    take_step
        Draws a batch and computes its loss.
    folder
        Run folder: `checkpoint.pt`, `log.jsonl`.
    validation
        For early stopping; none by default.
    watch
        Looks at the averaged weights every so many steps; none by default.
    on_progress
        Called with the share of the budget and the figures of every log line; may raise Cancelled.

    Returns
    -------
    dict
        The averaged weights, in the processor's memory; with `validation`, the best of them.

    Raises
    ------
    InputError
        If fp16 is asked for without a graphics card, or one process alone is to divide a network.
    ModelError
        If the folder holds a training of another network, or the loss becomes NaN or infinite; the last good checkpoint
        stays.
    ResourceError
        If the disk is full; the last good checkpoint stays.
    """
    kind = torch.device(device).type
    precision = choose_precision(device, options.precision)
    fp16 = precision == "fp16"
    if fp16 and kind != "cuda":
        raise InputError(
            "fp16 needs a graphics card",
            cause=f"the training is to run on {device}",
            remedy="Use auto, bf16 or fp32",
        )
    if options.deterministic and kind != "cpu":
        raise InputError(
            "A training that repeats bit for bit needs a processor",
            cause=f"it is to run on {device}, where some operations have no repeatable form",
            remedy="Leave --deterministic out, or use --device cpu",
        )
    if options.shard and distributed.count() == 1:
        raise InputError(
            "A network can be divided among several processes only",
            cause="this one is alone",
            remedy="Start several with torchrun, or leave --shard out",
        )
    first = distributed.number() == 0
    folder.mkdir(parents=True, exist_ok=True)
    if first:
        clear_scratch(folder)
    network.to(device).train()
    averaged = copy.deepcopy(network).requires_grad_(False)
    optimizer = _optimizer(network, options)
    scaler = torch.amp.GradScaler(kind, enabled=fp16)
    step, spent_s = 0, 0.0
    best, best_dice, looks_since = None, -1.0, 0
    seen: dict[str, float] = {}
    means: dict[str, float] = {}
    state = load_checkpoint(folder)
    if state is not None:
        try:
            if state.get("options", {}).get("optimizer", options.optimizer) != options.optimizer:
                raise ValueError("another optimizer's moments")
            # Decay and moments are those asked for now, and computed as this device does it.
            now = {key: value for key, value in optimizer.param_groups[0].items() if key != "params"}
            for group in state["optimizer"]["param_groups"]:
                group.update(now)
            network.load_state_dict(state["network"])
            averaged.load_state_dict(state["averaged"])
            optimizer.load_state_dict(state["optimizer"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise ModelError(
                "The training in this folder cannot be gone on with",
                cause="it is one of another network, or was begun with another optimizer",
                remedy="Choose another folder, or the settings of before",
                source=str(folder),
            ) from error
        if fp16 and state.get("scaler"):
            scaler.load_state_dict(state["scaler"])
        step, spent_s = int(state["step"]), float(state["spent_s"])
        best, best_dice, looks_since = state.get("validation", (best, best_dice, looks_since))
        means, seen = state.get("means", means), state.get("seen", seen)
    start, saved_minutes, told_step = time.monotonic() - spent_s, spent_s / 60, step
    looked_at = averaged
    if options.shard:
        looked_at = copy.deepcopy(averaged) if first else averaged
        divide(network, averaged, optimizer, device)

    def gather() -> nn.Module:
        """The averaged weights in one piece for the first process; all of them must ask."""
        if options.shard:
            weights = whole(averaged.state_dict())
            if first:
                looked_at.load_state_dict(weights)
        return looked_at

    def save() -> None:
        state = {
            "network": whole(network.state_dict()),
            "averaged": whole(averaged.state_dict()),
            "optimizer": whole(optimizer.state_dict()),
            "scaler": scaler.state_dict(),
            "step": step,
            "spent_s": time.monotonic() - start,
            "validation": (best, best_dice, looks_since),
            "means": means,
            "seen": seen,
            "options": asdict(options),
        }
        if first:
            save_checkpoint(folder, state)

    def tell() -> None:
        nonlocal told_step
        told_step = step
        share = min(spent, 1.0)
        line = {
            "step": step,
            "minutes": round(elapsed_minutes, 2),
            "minutes_left": round(elapsed_minutes * (1 - share) / share, 2) if share > 0 else 0.0,
            "spent": round(share, 4),
            "rate": rate,
        }
        line |= {key: round(value, 4) for key, value in (means | seen).items()}
        log.write(line)
        if on_progress:
            on_progress(share, line)

    shared = network if options.shard else _shared(network, device)

    def forward(*arguments: Any, **named: Any) -> Any:
        with torch.autocast(kind, torch.float16 if fp16 else torch.bfloat16, enabled=precision != "fp32"):
            return shared(*arguments, **named)

    with _reproducible(options), RunLog(folder, step, tensorboard=options.tensorboard) as log:
        while True:
            elapsed_minutes = distributed.from_first((time.monotonic() - start) / 60, device)
            spent = max(step / options.budget_steps, elapsed_minutes / options.budget_minutes)
            if spent >= 1 or (validation and looks_since >= validation.patience):
                break
            rate = _rate(options, step, spent)
            for group in optimizer.param_groups:
                group["lr"] = rate
            random = np.random.default_rng((options.seed, step))
            torch.manual_seed((int(random.integers(2**63)) + distributed.number()) % 2**63)
            result = take_step(forward, spent, random)
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(result.loss).backward()
            scaler.unscale_(optimizer)
            if options.shard:
                average_rest(network)
            norm = whole(torch.nn.utils.clip_grad_norm_(network.parameters(), options.clip_norm))
            told = {"loss": result.loss.detach(), "gradient_norm": norm} | result.figures
            figures = distributed.mean_figures(_numbers(told | _routing_figures(result), device), device)
            # Gradients beyond fp16 are no fault: that step is left out and the scale lowered.
            if not math.isfinite(figures["loss"]) or not (fp16 or math.isfinite(figures["gradient_norm"])):
                raise ModelError(
                    f"Training became unstable at step {step}",
                    cause="the loss is not a finite number",
                    remedy="Lower the learning rate and start again from the last checkpoint",
                    source=str(folder),
                )
            scaler.step(optimizer)
            scaler.update()
            decay = min(options.ema_decay, (1 + step) / (10 + step))
            with torch.no_grad():
                torch._foreach_lerp_(list(averaged.parameters()), list(network.parameters()), 1 - decay)
            means = {
                key: 0.98 * means.get(key, value) + 0.02 * value
                for key, value in figures.items()
                if math.isfinite(value)
            }
            step += 1
            if validation and step % validation.every_steps == 0:
                gathered = gather()
                own_score = validation.score(gathered) if first else math.nan
                dice_found = distributed.from_first(own_score, device)
                seen = seen | {"validation_dice": dice_found}
                looks_since += 1
                if dice_found > best_dice:
                    best = copy.deepcopy(whole(averaged.state_dict()))
                    best_dice, looks_since = dice_found, 0
            if watch and step % watch.every_steps == 0:
                gathered = gather()
                if first:
                    seen = seen | watch.look(gathered, step)
            if first and step % options.log_every == 0:
                tell()
            if elapsed_minutes - saved_minutes > options.checkpoint_minutes:
                save()
                saved_minutes = elapsed_minutes
        save()
        if first and step > told_step:
            tell()
    return {name: value.cpu() for name, value in (best or whole(averaged.state_dict())).items()}


def _shared(network: nn.Module, device: str) -> nn.Module:
    """The network as this process calls it: as it is, or averaging its gradients with the others'."""
    if distributed.count() == 1:
        return network
    # The modalities of a batch decide which parts are used, and differ from process to process.
    return DistributedDataParallel(network, find_unused_parameters=True)


def _rate(options: LoopOptions, step: int, spent: float) -> float:
    rate = options.learning_rate * min(1.0, (step + 1) / max(options.warmup_steps, 1))
    if options.schedule == "poly":
        return float(rate * (1 - spent) ** 0.9)
    return float(rate * (0.99 * 0.5 * (1 + math.cos(math.pi * spent)) + 0.01))


def _routing_figures(result: Step) -> dict[str, float | Tensor]:
    figures: dict[str, float | Tensor] = {}
    for index, routing in enumerate(result.routing):
        figures[f"balance_{index}"] = routing.balance_loss.detach()
        figures[f"entropy_{index}"] = routing.entropy
        for expert, load in enumerate(routing.load):
            figures[f"load_{index}_{expert}"] = load
    return figures


def _numbers(figures: dict[str, float | Tensor], device: str) -> dict[str, float]:
    """All in one transfer from the device."""
    tensors = {name: value for name, value in figures.items() if isinstance(value, Tensor)}
    read = torch.stack([value.to(device, torch.float64) for value in tensors.values()]).tolist()
    numbers = dict(zip(tensors, read, strict=True))
    return {name: numbers.get(name, value) for name, value in figures.items()}


@contextmanager
def _reproducible(options: LoopOptions) -> Iterator[None]:
    if not options.deterministic:
        yield
        return
    threads, before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(before)


def _optimizer(network: nn.Module, options: LoopOptions) -> torch.optim.Optimizer:
    if options.optimizer == "sgd":
        return torch.optim.SGD(
            network.parameters(),
            lr=options.learning_rate,
            momentum=0.9,
            nesterov=True,
            weight_decay=options.weight_decay,
        )
    return torch.optim.AdamW(
        network.parameters(),
        lr=options.learning_rate,
        weight_decay=options.weight_decay,
        betas=options.betas,
        fused=True if next(network.parameters()).is_cuda else None,
    )
