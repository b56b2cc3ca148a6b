"""The processes that share one training, as `torchrun` starts them; a process alone needs none of this."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

from magpie_core.errors import InputError

_REMEDY = "Start the processes with torchrun, or remove WORLD_SIZE from the environment to train in one"


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if _together() else 1


def number() -> int:
    """Which of them this is; the first, 0, is the one that writes."""
    return distributed.get_rank() if _together() else 0


@contextmanager
def joined(device: str) -> Iterator[str]:
    """Join the other processes, if `torchrun` started several, and give this one's device.

    Raises
    ------
    InputError
        If the environment does not say who the others are, or they cannot be reached.
    """
    if "WORLD_SIZE" not in os.environ or (processes := _environment("WORLD_SIZE", least=1)) == 1:
        yield device
        return
    _environment("RANK", below=processes)
    on_cards = torch.device(device).type == "cuda"
    if on_cards:
        device = f"cuda:{_environment('LOCAL_RANK', below=torch.cuda.device_count())}"
        torch.cuda.set_device(device)
    try:
        distributed.init_process_group("cpu:gloo,cuda:nccl" if on_cards else "gloo")
    except (ValueError, RuntimeError) as error:
        raise InputError(
            "The processes that are to train together do not find each other",
            cause=str(error).splitlines()[0],
            remedy=_REMEDY,
        ) from error
    try:
        yield device
    finally:
        distributed.destroy_process_group()


def places(random: np.random.Generator, own: int) -> list[np.random.Generator]:
    """A generator for each of this process's `own` places of a step.

    Each belongs to a place's number over all processes, so that two processes of n places draw what one of 2 n does.
    """
    return random.spawn(count() * own)[number() * own :][:own]


def anywhere(flags: Tensor) -> Tensor:
    """Which of some flags (N,) bool, in the processor's memory, are set in any of the processes."""
    if not _together():
        return flags
    found = flags.to(torch.uint8)
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return found.bool()


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


def _environment(name: str, *, least: int = 0, below: int = 1 << 31) -> int:
    value = os.environ.get(name, "")
    if not (value.isdecimal() and least <= int(value) < below):
        raise InputError(
            "It is not clear which processes are to train together",
            cause=f"{name} is {value!r}, which is no number from {least} to {below - 1}"
            if value
            else f"the environment has no {name}",
            remedy=_REMEDY,
        )
    return int(value)


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
