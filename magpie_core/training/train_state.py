"""A training in progress: network, EMA weights, optimizer, clock and metrics; how it is saved and restored."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from magpie_core.errors import ModelError
from magpie_core.networks.device import choose_precision
from magpie_core.training import distributed
from magpie_core.training.loop_options import LoopOptions, build_optimizer, scheduled_learning_rate
from magpie_core.training.sharding import full_state_dict, full_tensors, shard_network

_Tensors = tuple[Tensor, ...] | list[Tensor]


class TrainState:
    """All that changes from step to step.

    Args:
        network: Trained in place, on `device`.

    Attributes:
        ema: Exponential moving average of the weights.
        step: Number of steps done.
        elapsed_minutes, progress: Since the start, over all resumes; 0 to 1, by the budget that is nearer to its end.
        metrics: Running means of what the steps report.
        validation: What callbacks measured last.
        best: Weights that are the result instead of the last EMA weights.
        is_ended: Set by a callback to end the training.
    """

    def __init__(self, network: nn.Module, options: LoopOptions, device: str) -> None:
        self.options, self.device = options, device
        self.precision = choose_precision(device, options.precision)
        self.network = network.to(device).train()
        self.ema = AveragedModel(network, multi_avg_fn=self._average).requires_grad_(False)
        self.ema.n_averaged.fill_(1)  # the weights of the start count as the first
        self.optimizer = build_optimizer(network, options)
        self.scaler = torch.amp.GradScaler(torch.device(device).type, enabled=self.precision == "fp16")
        self.step, self.elapsed_minutes, self.progress = 0, 0.0, 0.0
        self.metrics: dict[str, float] = {}
        self.validation: dict[str, float] = {}
        self.best: dict[str, Tensor] | None = None
        self.is_ended = False
        self._start = time.monotonic()
        self._unsharded_ema: nn.Module = self.ema.module

    def advance(self) -> bool:
        """Read the clock, set the learning rate, and say whether there is a step to take; a collective operation."""
        options = self.options
        self.elapsed_minutes = distributed.broadcast((time.monotonic() - self._start) / 60, self.device)
        self.progress = max(self.step / options.budget_steps, self.elapsed_minutes / options.budget_minutes)
        if self.progress >= 1 or self.is_ended:
            return False
        for group in self.optimizer.param_groups:
            group["lr"] = scheduled_learning_rate(options, self.step, self.progress)
        return True

    def shard(self) -> None:
        """Shard network, EMA weights and moments over the ranks."""
        if distributed.rank() == 0:
            self._unsharded_ema = copy.deepcopy(self.ema.module)
        shard_network(self.network, self.ema.module, self.optimizer, self.device)

    def gather_ema(self) -> nn.Module:
        """Return the unsharded EMA network, to rank 0; a collective operation."""
        if self.options.shard:
            weights = full_state_dict(self.ema.module)
            if distributed.rank() == 0:
                self._unsharded_ema.load_state_dict(weights)
        return self._unsharded_ema

    def ema_weights(self) -> dict[str, Tensor]:
        """Return the EMA weights, unsharded; a collective operation."""
        return full_state_dict(self.ema.module)

    def state_dict(self) -> dict[str, Any]:
        """Return the content of a checkpoint; a collective operation."""
        return {
            "network": full_state_dict(self.network),
            "ema": self.ema_weights(),
            "optimizer": full_tensors(self.optimizer.state_dict()),
            "scaler": self.scaler.state_dict(),
            "step": self.step,
            "elapsed_s": time.monotonic() - self._start,
            "best": self.best,
            "is_ended": self.is_ended,
            "metrics": self.metrics,
            "validation": self.validation,
            "options": asdict(self.options),
        }

    def load_state_dict(self, state: Mapping[str, Any], source: Path) -> None:
        """Continue from a checkpoint of the run folder `source`; weight decay and betas stay those of the options.

        Raises:
            ModelError: If it is of another network or optimizer.
        """
        try:
            if state["options"]["optimizer"] != self.options.optimizer:
                raise ValueError("the moments are of another optimizer")
            # Options such as weight decay and `fused` follow this call and this device, not the checkpoint.
            now = {key: value for key, value in self.optimizer.param_groups[0].items() if key != "params"}
            for group in state["optimizer"]["param_groups"]:
                group.update(now)
            self.network.load_state_dict(state["network"])
            self.ema.module.load_state_dict(state["ema"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.scaler.is_enabled() and state["scaler"]:
                self.scaler.load_state_dict(state["scaler"])
            self.step = int(state["step"])
            self._start = time.monotonic() - float(state["elapsed_s"])
            self.best, self.is_ended = state["best"], state["is_ended"]
            self.metrics, self.validation = state["metrics"], state["validation"]
        except (KeyError, RuntimeError, ValueError) as error:
            raise ModelError(
                "Cannot resume the training in this folder",
                cause="it was started with another network, another optimizer or an earlier version",
                remedy="Choose another folder, or use the settings that it was started with",
                source=str(source),
            ) from error

    def _average(self, averaged: _Tensors, current: _Tensors, _: Tensor | int) -> None:
        """Move the averages; at first faster, so that the weights of the start do not count for long."""
        decay = min(self.options.ema_decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(averaged, current, 1 - decay)
