"""Options of the training loop."""

from __future__ import annotations

import math
from dataclasses import dataclass

from magpie_core.errors import InputError

PRECISIONS = ("auto", "bf16", "fp16", "fp32")


@dataclass(frozen=True)
class LoopOptions:
    """Optimizer, schedule, precision and budget.

    Either budget ends the training; the learning rate follows the one that is nearer to its end.

    Attributes:
        budget_steps, budget_minutes: Length of the whole training over all resumes.
        optimizer: "adamw", or "sgd" with momentum 0.9 (Nesterov).
        learning_rate: Peak, reached after `warmup_steps`.
        schedule: Decay from there: "cosine" to a hundredth, or "poly" (power 0.9) to zero.
        betas: Of AdamW.
        ema_decay: Of the exponential moving average (EMA) of the weights, which is the result; 0 for none.
        checkpoint_minutes: Minutes between checkpoints.
        precision: Of the forward pass: "auto" (bf16 where the device is fast at it, else fp32), "bf16", "fp32", or
            "fp16" with scaled gradients, on CUDA only.
        deterministic: One thread, deterministic algorithms, a budget in steps: a training that was killed and resumed
            ends with the same bits as one that was not.
        shard: Shard weights, gradients and the optimizer's moments over the ranks (FSDP) instead of keeping all in
            each.
        tensorboard: Write the log for TensorBoard too, into the run folder's `tensorboard`.
        seed: Each step draws from its own generator, seeded by this and the step's number, so that a resumed training
            takes the same steps. With a budget in steps and one thread it ends bit-identical.

    Raises:
        InputError: If a number is impossible, or the options contradict each other.
    """

    budget_steps: int = 1_000_000
    budget_minutes: float = math.inf
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    schedule: str = "cosine"
    warmup_steps: int = 150
    weight_decay: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.98)
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
