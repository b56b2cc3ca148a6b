"""The training loop: any network and training step, EMA weights, a budget, a log, and resuming after a kill."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from magpie_core.errors import Cancelled, InputError, ModelError
from magpie_core.networks.device import choose_precision
from magpie_core.networks.mixture_of_experts import Routing
from magpie_core.training import distributed
from magpie_core.training.checkpoints import clear_scratch, load_checkpoint, save_checkpoint
from magpie_core.training.interruption import deferred_interrupt
from magpie_core.training.loop_options import (
    LoopOptions,
    build_optimizer,
    deterministic_algorithms,
    scheduled_learning_rate,
)
from magpie_core.training.run_log import RunLog
from magpie_core.training.sharding import all_reduce_unsharded_gradients, full_state_dict, full_tensors, shard_network
from magpie_core.training.validation import DiceValidator

Progress = Callable[[float, dict[str, float]], None]
"""Called with the progress (0 to 1) and the metrics of every line of the log; may raise Cancelled."""


@dataclass(frozen=True)
class StepOutput:
    """The loss of a step, and what is logged of it.

    Attributes:
        loss: To minimize; scalar.
        metrics: Values by name, the same names at every step; scalar tensors without gradient are read all at once,
            before the optimizer's step.
        routing: Of every mixture of experts; their load, balance and entropy are logged.
    """

    loss: Tensor
    metrics: dict[str, float | Tensor] = field(default_factory=dict)
    routing: tuple[Routing, ...] = ()


class TrainingStep(Protocol):
    """Draws a batch and computes its loss."""

    def __call__(self, forward: Callable[..., Any], progress: float, rng: np.random.Generator) -> StepOutput:
        """Compute the loss of one batch with the network's `forward` pass, `progress` (0 to 1) into the training.

        `rng` is the step's own random generator, the same in every rank.
        """


class Callback(Protocol):
    """Runs on the EMA weights every so many steps, in rank 0 alone."""

    every_steps: int

    def on_step(self, ema_network: nn.Module, step: int) -> dict[str, float]:
        """Return metrics for the log."""


def optimize(
    network: nn.Module,
    training_step: TrainingStep,
    folder: Path,
    options: LoopOptions,
    *,
    validator: DiceValidator | None = None,
    callback: Callback | None = None,
    device: str = "cpu",
    on_progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Train `network` in place; resume from `folder` if it holds a checkpoint.

    Within `distributed.process_group`, every rank takes its part of each step and gradients are averaged (DDP); rank 0
    alone writes, and all ranks read the folder. With `options.shard` the network is sharded (FSDP), and stays so; the
    checkpoints are the same.

    Args:
        folder: Run folder: `checkpoint.pt`, `log.jsonl`.
        validator: For early stopping, on the EMA weights.

    Returns:
        dict: The EMA weights, in CPU memory; with `validator`, the best of them.

    Raises:
        InputError: If the device cannot train as the options ask, or one process alone is to shard a network.
        ModelError: If the folder holds a training of another network, or the loss becomes NaN or infinite; the last
            good checkpoint stays.
        ResourceError: If the disk is full; the last good checkpoint stays.
        KeyboardInterrupt, Cancelled: After Ctrl-C, or from `on_progress`; the steps so far are saved.
    """
    device_type = torch.device(device).type
    precision = choose_precision(device, options.precision)
    fp16 = precision == "fp16"
    _check_device(options, device, precision)
    is_main = distributed.rank() == 0
    folder.mkdir(parents=True, exist_ok=True)
    if is_main:
        clear_scratch(folder)
    network.to(device).train()
    ema_network = copy.deepcopy(network).requires_grad_(False)
    optimizer = build_optimizer(network, options)
    scaler = torch.amp.GradScaler(device_type, enabled=fp16)
    step, elapsed_s = 0, 0.0
    best, best_score, checks_since_best = None, -1.0, 0
    validation_metrics: dict[str, float] = {}
    running_means: dict[str, float] = {}
    state = load_checkpoint(folder)
    if state is not None:
        _restore(state, network, ema_network, optimizer, options, folder)
        if fp16 and state.get("scaler"):
            scaler.load_state_dict(state["scaler"])
        step, elapsed_s = int(state["step"]), float(state["elapsed_s"])
        best, best_score, checks_since_best = state["early_stopping"]
        running_means, validation_metrics = state["running_means"], state["validation_metrics"]
    start, saved_minutes, logged_step = time.monotonic() - elapsed_s, elapsed_s / 60, step
    validated_network = ema_network
    if options.shard:
        validated_network = copy.deepcopy(ema_network) if is_main else ema_network
        shard_network(network, ema_network, optimizer, device)

    def gather_ema() -> nn.Module:
        """Return the unsharded EMA network to rank 0; a collective operation."""
        if options.shard:
            weights = full_state_dict(ema_network)
            if is_main:
                validated_network.load_state_dict(weights)
        return validated_network

    def save() -> None:
        state = {
            "network": full_state_dict(network),
            "ema": full_state_dict(ema_network),
            "optimizer": full_tensors(optimizer.state_dict()),
            "scaler": scaler.state_dict(),
            "step": step,
            "elapsed_s": time.monotonic() - start,
            "early_stopping": (best, best_score, checks_since_best),
            "running_means": running_means,
            "validation_metrics": validation_metrics,
            "options": asdict(options),
        }
        if is_main:
            save_checkpoint(folder, state)

    def log_metrics() -> None:
        nonlocal logged_step
        logged_step = step
        done = min(progress, 1.0)
        line = {
            "step": step,
            "minutes": round(elapsed_minutes, 2),
            "minutes_left": round(elapsed_minutes * (1 - done) / done, 2) if done > 0 else 0.0,
            "progress": round(done, 4),
            "learning_rate": learning_rate,
        }
        line |= {key: round(value, 4) for key, value in (running_means | validation_metrics).items()}
        log.write(line)
        if on_progress:
            on_progress(done, line)

    model: nn.Module = network
    if distributed.world_size() > 1 and not options.shard:
        # The modalities of a batch decide which parameters are used, and differ between ranks.
        model = DistributedDataParallel(network, find_unused_parameters=True)

    def forward(*arguments: Any, **named: Any) -> Any:
        autocast_dtype = torch.float16 if fp16 else torch.bfloat16
        with torch.autocast(device_type, autocast_dtype, enabled=precision != "fp32"):
            return model(*arguments, **named)

    with (
        deterministic_algorithms(options.deterministic),
        RunLog(folder, step, tensorboard=options.tensorboard) as log,
        deferred_interrupt() as is_interrupted,
    ):
        while True:
            elapsed_minutes = distributed.broadcast((time.monotonic() - start) / 60, device)
            progress = max(step / options.budget_steps, elapsed_minutes / options.budget_minutes)
            if progress >= 1 or (validator and checks_since_best >= validator.patience):
                break
            learning_rate = scheduled_learning_rate(options, step, progress)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            rng = np.random.default_rng((options.seed, step))
            torch.manual_seed((int(rng.integers(2**63)) + distributed.rank()) % 2**63)
            result = training_step(forward, progress, rng)
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(result.loss).backward()
            scaler.unscale_(optimizer)
            if options.shard:
                all_reduce_unsharded_gradients(network)
            norm = full_tensors(torch.nn.utils.clip_grad_norm_(network.parameters(), options.clip_norm))
            metrics = distributed.all_reduce_mean(_metrics_of(result, norm, device), device)
            # Overflowing fp16 gradients are no error: the scaler skips that step and lowers the scale.
            if not math.isfinite(metrics["loss"]) or not (fp16 or math.isfinite(metrics["gradient_norm"])):
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
                torch._foreach_lerp_(list(ema_network.parameters()), list(network.parameters()), 1 - decay)
            running_means = {
                key: 0.98 * running_means.get(key, value) + 0.02 * value
                for key, value in metrics.items()
                if math.isfinite(value)
            }
            step += 1
            if validator and step % validator.every_steps == 0:
                gathered = gather_ema()
                score = distributed.broadcast(validator.score(gathered) if is_main else math.nan, device)
                validation_metrics = validation_metrics | {"validation_dice": score}
                checks_since_best += 1
                if score > best_score:
                    best = copy.deepcopy(full_state_dict(ema_network))
                    best_score, checks_since_best = score, 0
            if callback and step % callback.every_steps == 0:
                gathered = gather_ema()
                if is_main:
                    validation_metrics = validation_metrics | callback.on_step(gathered, step)
            if is_interrupted():
                save()
                raise KeyboardInterrupt
            if is_main and step % options.log_every == 0:
                try:
                    log_metrics()
                except Cancelled:
                    if distributed.world_size() == 1:  # else saving would wait for the other ranks
                        save()
                    raise
            if elapsed_minutes - saved_minutes > options.checkpoint_minutes:
                save()
                saved_minutes = elapsed_minutes
        save()
        if is_main and step > logged_step:
            log_metrics()
    return {name: value.cpu() for name, value in (best or full_state_dict(ema_network)).items()}


def _check_device(options: LoopOptions, device: str, precision: str) -> None:
    device_type = torch.device(device).type
    if precision == "fp16" and device_type != "cuda":
        raise InputError(
            "fp16 training needs a GPU", cause=f"the training is to run on {device}", remedy="Use auto, bf16 or fp32"
        )
    if options.deterministic and device_type != "cpu":
        raise InputError(
            "Deterministic training needs a CPU",
            cause=f"it is to run on {device}, where some operations are not deterministic",
            remedy="Leave --deterministic out, or use --device cpu",
        )
    if options.shard and distributed.world_size() == 1:
        raise InputError(
            "Cannot shard a network in a single process", remedy="Start several with torchrun, or leave --shard out"
        )


def _restore(
    state: dict[str, Any],
    network: nn.Module,
    ema_network: nn.Module,
    optimizer: torch.optim.Optimizer,
    options: LoopOptions,
    folder: Path,
) -> None:
    """Load a checkpoint into the networks and the optimizer; weight decay and betas are those of `options`."""
    try:
        if state["options"]["optimizer"] != options.optimizer:
            raise ValueError("the moments are of another optimizer")
        # Options such as weight decay and `fused` follow this call and this device, not the checkpoint.
        now = {key: value for key, value in optimizer.param_groups[0].items() if key != "params"}
        for group in state["optimizer"]["param_groups"]:
            group.update(now)
        network.load_state_dict(state["network"])
        ema_network.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise ModelError(
            "Cannot resume the training in this folder",
            cause="it was started with another network, another optimizer or an earlier version",
            remedy="Choose another folder, or use the settings that it was started with",
            source=str(folder),
        ) from error


def _metrics_of(result: StepOutput, gradient_norm: Tensor, device: str) -> dict[str, float]:
    """Return all metrics of a step as numbers, read from the device in one transfer."""
    metrics: dict[str, float | Tensor] = {"loss": result.loss.detach(), "gradient_norm": gradient_norm}
    metrics |= result.metrics
    for index, routing in enumerate(result.routing):
        metrics[f"balance_{index}"] = routing.balance_loss.detach()
        metrics[f"entropy_{index}"] = routing.entropy
        for expert, load in enumerate(routing.load):
            metrics[f"load_{index}_{expert}"] = load
    tensors = {name: value for name, value in metrics.items() if isinstance(value, Tensor)}
    number = torch.float32 if torch.device(device).type == "mps" else torch.float64  # MPS knows no float64
    read = torch.stack([value.to(device, number) for value in tensors.values()]).tolist()
    numbers = dict(zip(tensors, read, strict=True))
    return {name: numbers.get(name, value) for name, value in metrics.items()}
