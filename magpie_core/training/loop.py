"""The training loop: any network and training step, EMA weights, a budget, a log, and resuming after a kill."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from magpie_core.errors import Cancelled, InputError, ModelError
from magpie_core.networks.mixture_of_experts import Routing
from magpie_core.training import distributed
from magpie_core.training.callbacks import Callback
from magpie_core.training.checkpoints import clear_scratch, load_checkpoint, save_checkpoint
from magpie_core.training.interruption import deferred_interrupt
from magpie_core.training.loop_options import LoopOptions, check_device, deterministic_algorithms
from magpie_core.training.run_log import RunLog
from magpie_core.training.sharding import all_reduce_unsharded_gradients, full_tensors
from magpie_core.training.train_state import TrainState

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


def optimize(
    network: nn.Module,
    training_step: TrainingStep,
    folder: Path,
    options: LoopOptions,
    *,
    callbacks: Sequence[Callback] = (),
    device: str = "cpu",
    on_progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Train `network` in place; resume from `folder` if it holds a checkpoint.

    Within `distributed.process_group`, every rank takes its part of each step and gradients are averaged (DDP); rank 0
    alone writes, and all ranks read the folder. With `options.shard` the network is sharded (FSDP), and stays so; the
    checkpoints are the same.

    Args:
        folder: Run folder: `checkpoint.pt`, `log.jsonl`.
        callbacks: Called after each step, in this order.

    Returns:
        dict: The EMA weights, in CPU memory, or those that a callback found to be best.

    Raises:
        InputError: If the device cannot train as the options ask, or one process alone is to shard a network.
        ModelError: If the folder holds a training of another network, or the loss becomes NaN or infinite; the last
            good checkpoint stays.
        ResourceError: If the disk is full; the last good checkpoint stays.
        KeyboardInterrupt, Cancelled: After Ctrl-C, or from `on_progress`; the steps so far are saved.
    """
    check_device(options, device)
    if options.shard and distributed.world_size() == 1:
        raise InputError(
            "Cannot shard a network in a single process", remedy="Start several with torchrun, or leave --shard out"
        )
    is_main = distributed.rank() == 0
    folder.mkdir(parents=True, exist_ok=True)
    if is_main:
        clear_scratch(folder)
    state = TrainState(network, options, device)
    if (checkpoint := load_checkpoint(folder)) is not None:
        state.load_state_dict(checkpoint, folder)
        for callback in callbacks:
            callback.load_state_dict(checkpoint["callbacks"].get(callback.name, {}))
    forward = _forward_pass(state)
    saved_minutes, logged_step = state.elapsed_minutes, state.step

    def save() -> None:
        content = state.state_dict() | {"callbacks": {callback.name: callback.state_dict() for callback in callbacks}}
        if is_main:
            save_checkpoint(folder, content)

    with (
        deterministic_algorithms(options.deterministic),
        RunLog(folder, state.step, tensorboard=options.tensorboard) as log,
        deferred_interrupt() as is_interrupted,
    ):
        while state.advance():
            _take_step(state, training_step, forward, folder)
            for callback in callbacks:
                callback.after_step(state)
            if is_interrupted():
                save()
                raise KeyboardInterrupt
            if is_main and state.step % options.log_every == 0:
                logged_step = state.step
                try:
                    _report(state, log, on_progress)
                except Cancelled:
                    if distributed.world_size() == 1:  # else saving would wait for the other ranks
                        save()
                    raise
            if state.elapsed_minutes - saved_minutes > options.checkpoint_minutes:
                save()
                saved_minutes = state.elapsed_minutes
        save()
        if is_main and state.step > logged_step:
            _report(state, log, on_progress)
    return {name: value.cpu() for name, value in (state.best or state.ema_weights()).items()}


def _forward_pass(state: TrainState) -> Callable[..., Any]:
    """Return the network's forward pass in the training's precision, over one rank or many."""
    model: nn.Module = state.network
    if state.options.shard:
        state.shard()
    elif distributed.world_size() > 1:
        # The modalities of a batch decide which parameters are used, and differ between ranks.
        model = DistributedDataParallel(state.network, find_unused_parameters=True)
    device_type = torch.device(state.device).type
    lower = torch.float16 if state.precision == "fp16" else torch.bfloat16

    def forward(*arguments: Any, **named: Any) -> Any:
        with torch.autocast(device_type, lower, enabled=state.precision != "fp32"):
            return model(*arguments, **named)

    return forward


def _take_step(state: TrainState, training_step: TrainingStep, forward: Callable[..., Any], folder: Path) -> None:
    """Take one step of the optimizer, and count it; ModelError if the loss is not finite."""
    rng = np.random.default_rng((state.options.seed, state.step))
    torch.manual_seed((int(rng.integers(2**63)) + distributed.rank()) % 2**63)
    result = training_step(forward, state.progress, rng)
    state.optimizer.zero_grad(set_to_none=True)
    state.scaler.scale(result.loss).backward()
    state.scaler.unscale_(state.optimizer)
    if state.options.shard:
        all_reduce_unsharded_gradients(state.network)
    norm = full_tensors(nn.utils.clip_grad_norm_(state.network.parameters(), state.options.clip_norm))
    metrics = distributed.all_reduce_mean(_metrics_of(result, norm, state.device), state.device)
    # Overflowing fp16 gradients are no error: the scaler skips that step and lowers the scale.
    is_finite = math.isfinite(metrics["loss"])
    if not is_finite or not (state.precision == "fp16" or math.isfinite(metrics["gradient_norm"])):
        raise ModelError(
            f"Training became unstable at step {state.step}",
            cause="the loss is not a finite number",
            remedy="Lower the learning rate and start again from the last checkpoint",
            source=str(folder),
        )
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.ema.update_parameters(state.network)
    state.metrics = {
        key: 0.98 * state.metrics.get(key, value) + 0.02 * value
        for key, value in metrics.items()
        if math.isfinite(value)
    }
    state.step += 1


def _report(state: TrainState, log: RunLog, on_progress: Progress | None) -> None:
    """Write a line of the log."""
    done = min(state.progress, 1.0)
    line = {
        "step": state.step,
        "minutes": round(state.elapsed_minutes, 2),
        "minutes_left": round(state.elapsed_minutes * (1 - done) / done, 2) if done > 0 else 0.0,
        "progress": round(done, 4),
        "learning_rate": state.optimizer.param_groups[0]["lr"],
    }
    line |= {key: round(value, 4) for key, value in (state.metrics | state.validation).items()}
    log.write(line)
    if on_progress:
        on_progress(done, line)


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
