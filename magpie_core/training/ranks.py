"""The processes that share one training, as `torchrun` starts them; a process alone needs none of this."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if _together() else 1


def number() -> int:
    """Which of them this is; the first, 0, is the one that writes."""
    return distributed.get_rank() if _together() else 0


@contextmanager
def joined(device: str) -> Iterator[str]:
    """Join the other processes, if `torchrun` started several, and give this one's device."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield device
        return
    on_cards = torch.device(device).type == "cuda"
    if on_cards:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if on_cards else "gloo")
    try:
        yield device
    finally:
        distributed.destroy_process_group()


def from_first(value: float, device: str) -> float:
    """What the first process says, for decisions that all must take alike."""
    if not _together():
        return value
    said = torch.tensor(value, dtype=torch.float64, device=device)
    distributed.broadcast(said, 0)
    return float(said)


def mean_figures(figures: dict[str, float], device: str) -> dict[str, float]:
    """Each figure's mean over the processes, all of which have the same names in the same order."""
    if not _together():
        return figures
    values = torch.tensor(list(figures.values()), dtype=torch.float64, device=device)
    distributed.all_reduce(values)
    return dict(zip(figures, (values / count()).tolist(), strict=True))


def total(values: Tensor) -> Tensor:
    """Sum over the processes, with gradient for the own part."""
    if not _together():
        return values
    summed: Tensor = _Total.apply(values)
    return summed


def gathered(rows: Tensor) -> Tensor:
    """Rows (N, ...) of all processes, (P N, ...), in their order, with gradient for the own ones."""
    if not _together():
        return rows
    everyone: Tensor = _Gathered.apply(rows)
    return everyone


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()


class _Total(torch.autograd.Function):
    # Every process computes the same loss of all the values, and gradients are averaged over the processes afterwards:
    # the own part's gradient, times their number, gives just the gradient of that one loss, without another exchange.
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        summed = values.clone()
        distributed.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * count()


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.rows = len(rows)
        parts = [torch.empty_like(rows) for _ in range(count())]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        first = number() * ctx.rows
        return gradients[0][first : first + ctx.rows] * count()
