"""Options of the training loop, and what follows from them: optimizer, learning rate, determinism."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from magpie_core.errors import InputError
from magpie_core.networks.device import choose_precision

PRECISIONS = ("auto", "bf16", "fp16", "fp32")


@dataclass(frozen=True)
class LoopOptions:
    """Optimizer, schedule, precision and budget.

    Either budget ends the training; the learning rate follows the one that is nearer to its end.

    Attributes:
        budget_steps, budget_minutes: Length of the whole training over all resumes.
        optimizer: "adamw", or "sgd" with `momentum`, Nesterov's or not.
        learning_rate: Peak, reached after `warmup_steps`.
        schedule: Decay from there: "cosine" to a hundredth, or "poly" (power 0.9) to zero.
        betas: Of AdamW.
        clip_norm: Largest norm of the gradients; infinite for no clipping.
        ema_decay: Of the exponential moving average (EMA) of the weights, which is the result; 0 for none.
        precision: Of the forward pass: "auto" (bf16 where the device is fast at it, else fp32), "bf16", "fp32", or
            "fp16" with scaled gradients, on CUDA only.
        deterministic: One thread, deterministic algorithms, a budget in steps: a training that was killed and resumed
            ends with the same bits as one that was not.
        shard: Shard weights, gradients and the optimizer's moments over the ranks (FSDP) instead of keeping all in
            each.
        tensorboard: Write the log for TensorBoard too, into the run folder's `tensorboard`.
        seed: Each step draws from its own generator, seeded by this and the step's number, so that a resumed training
            takes the same steps. With a budget in steps and one thread it ends bit-identical.
    """

    budget_steps: int = 1_000_000
    budget_minutes: float = math.inf
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    schedule: str = "cosine"
    warmup_steps: int = 150
    weight_decay: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.98)
    momentum: float = 0.9
    nesterov: bool = False
    clip_norm: float = 3.0
    ema_decay: float = 0.998
    checkpoint_minutes: float = 5.0
    log_every: int = 50
    precision: str = "auto"
    deterministic: bool = False
    shard: bool = False
    tensorboard: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for possible, cause in (
            (self.budget_steps >= 1, f"the budget is {self.budget_steps} steps"),
            (self.budget_minutes > 0, f"the budget is {self.budget_minutes:g} minutes"),
            (0 < self.learning_rate < math.inf, f"the learning rate is {self.learning_rate:g}"),
        ):
            if not possible:
                raise InputError("Cannot train with these options", cause=cause, remedy="Give a number above 0")
        if self.precision not in PRECISIONS:
            raise InputError(f"Unknown precision {self.precision!r}", remedy=f"Use one of {', '.join(PRECISIONS)}")
        if self.shard and self.precision == "fp16":
            raise InputError(
                "Cannot train a sharded network in fp16",
                cause="its scaled gradients lie in different processes",
                remedy="Use bf16 or fp32",
            )
        if self.deterministic and math.isfinite(self.budget_minutes):
            raise InputError(
                "Cannot end a deterministic training by the clock",
                cause="the learning rate would depend on the computer's speed",
                remedy="Give the budget in steps",
            )


_NEUTRAL = ("checkpoint_minutes", "log_every", "tensorboard", "shard")


def settings_of(options: LoopOptions) -> dict[str, Any]:
    """Return the options that change the weights, by name: a training is resumed only with the same."""
    values = {name: value for name, value in asdict(options).items() if name not in _NEUTRAL}
    return {"steps": values.pop("budget_steps"), "minutes": values.pop("budget_minutes"), **values}


def build_optimizer(network: nn.Module, options: LoopOptions) -> torch.optim.Optimizer:
    """Build AdamW, or SGD with momentum, over all parameters in one group."""
    common: dict[str, Any] = {"lr": options.learning_rate, "weight_decay": options.weight_decay}
    if options.optimizer == "sgd":
        return torch.optim.SGD(network.parameters(), momentum=options.momentum, nesterov=options.nesterov, **common)
    fused = True if next(network.parameters()).is_cuda else None
    return torch.optim.AdamW(network.parameters(), betas=options.betas, fused=fused, **common)


def scheduled_learning_rate(options: LoopOptions, step: int, progress: float) -> float:
    """Return the learning rate of a step: linear warm-up by steps, then decay by `progress` (0 to 1)."""
    rate = options.learning_rate * min(1.0, (step + 1) / max(options.warmup_steps, 1))
    if options.schedule == "poly":
        return float(rate * (1 - progress) ** 0.9)
    return float(rate * (0.99 * 0.5 * (1 + math.cos(math.pi * progress)) + 0.01))


def check_device(options: LoopOptions, device: str) -> None:
    """Check that a device can train as the options ask (InputError if not)."""
    device_type = torch.device(device).type
    if choose_precision(device, options.precision) == "fp16" and device_type != "cuda":
        raise InputError(
            "fp16 training needs a GPU", cause=f"the training is to run on {device}", remedy="Use auto, bf16 or fp32"
        )
    if options.deterministic and device_type != "cpu":
        raise InputError(
            "Deterministic training needs a CPU",
            cause=f"it is to run on {device}, where some operations are not deterministic",
            remedy="Leave --deterministic out, or use --device cpu",
        )


@contextmanager
def deterministic_algorithms(enabled: bool) -> Iterator[None]:
    """Use one thread and deterministic algorithms inside the block, if enabled."""
    threads, before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    if enabled:
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(before)
