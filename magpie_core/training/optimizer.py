"""Build the optimizer, schedule the learning rate, and make a training repeat bit for bit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from magpie_core.training.loop_options import LoopOptions


def build_optimizer(network: nn.Module, options: LoopOptions) -> torch.optim.Optimizer:
    """Build AdamW, or SGD with Nesterov momentum 0.9, over all parameters in one group."""
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


def scheduled_learning_rate(options: LoopOptions, step: int, progress: float) -> float:
    """Return the learning rate of a step: linear warm-up by steps, then decay by `progress` (0 to 1)."""
    rate = options.learning_rate * min(1.0, (step + 1) / max(options.warmup_steps, 1))
    if options.schedule == "poly":
        return float(rate * (1 - progress) ** 0.9)
    return float(rate * (0.99 * 0.5 * (1 + math.cos(math.pi * progress)) + 0.01))


@contextmanager
def deterministic_algorithms(enabled: bool) -> Iterator[None]:
    """Use one thread and deterministic algorithms inside the block, if enabled."""
    if not enabled:
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
