"""Collective operations over the ranks of a training started by `torchrun`; a single process needs none of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

from magpie_core.errors import InputError
from magpie_core.networks.mixture_of_experts import Routing

_REMEDY = "Start the processes with torchrun, or unset WORLD_SIZE to train in a single process"


def world_size() -> int:
    """Return the number of ranks; 1 without a process group."""
    return distributed.get_world_size() if _is_initialized() else 1


def rank() -> int:
    """Return this process's rank; rank 0 is the one that writes."""
    return distributed.get_rank() if _is_initialized() else 0


@contextmanager
def process_group(device: str) -> Iterator[str]:
    """Join the process group, if `torchrun` started several processes, and yield this rank's device.

    Raises:
        InputError: If the environment does not describe the group, or the other ranks cannot be reached.
    """
    if "WORLD_SIZE" not in os.environ or (processes := _environment("WORLD_SIZE", least=1)) == 1:
        yield device
        return
    _environment("RANK", below=processes)
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        device = f"cuda:{_environment('LOCAL_RANK', below=torch.cuda.device_count())}"
        torch.cuda.set_device(device)
    try:
        distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    except (ValueError, RuntimeError) as error:
        raise InputError("Cannot join the process group", cause=str(error).splitlines()[0], remedy=_REMEDY) from error
    try:
        yield device
    finally:
        distributed.destroy_process_group()


def spawn_rngs(rng: np.random.Generator, batch_size: int) -> list[np.random.Generator]:
    """Spawn a generator for each of this rank's `batch_size` items of a step.

    Each belongs to an item's number over all ranks, so that two ranks of n items draw what one rank of 2 n does.
    """
    return rng.spawn(world_size() * batch_size)[rank() * batch_size :][:batch_size]


def all_reduce_any(flags: Tensor) -> Tensor:
    """Return which of some flags (N,) bool, in CPU memory, are set in any rank."""
    if not _is_initialized():
        return flags
    found = flags.to(torch.uint8)
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return found.bool()


def broadcast(value: float, device: str) -> float:
    """Return rank 0's value, for decisions that all ranks must take alike."""
    if not _is_initialized():
        return value
    received = torch.tensor(value, dtype=torch.float64, device=device)
    distributed.broadcast(received, 0)
    return float(received)


def all_reduce_mean(metrics: dict[str, float], device: str) -> dict[str, float]:
    """Return each metric's mean over the ranks, all of which have the same names in the same order."""
    if not _is_initialized():
        return metrics
    values = torch.tensor(list(metrics.values()), dtype=torch.float64, device=device)
    distributed.all_reduce(values)
    return dict(zip(metrics, (values / world_size()).tolist(), strict=True))


def all_reduce_sum(values: Tensor) -> Tensor:
    """Return the sum over the ranks, with gradient for this rank's part."""
    if not _is_initialized():
        return values
    summed: Tensor = _AllReduceSum.apply(values)
    return summed


def all_gather(rows: Tensor) -> Tensor:
    """Return the rows (N, ...) of all P ranks, (P N, ...), in rank order, with gradient for this rank's rows."""
    if not _is_initialized():
        return rows
    gathered: Tensor = _AllGather.apply(rows)
    return gathered


def all_reduce_routing(routing: Routing) -> Routing:
    """Return a routing decision with losses, load and entropy over the tokens of all ranks.

    The balance loss is no mean of the ranks' own: it is that of their common load and probabilities.
    """
    if world_size() == 1:
        return routing
    tokens = (routing.weight > 0).sum()
    experts = len(routing.load)
    own = torch.cat(
        [
            routing.load,
            routing.weight @ routing.probabilities,
            routing.z_loss[None],
            routing.entropy[None],
            torch.ones_like(routing.entropy)[None],
        ]
    )
    summed = all_reduce_sum(own * tokens)
    means = summed / summed[-1].detach().clamp_min(1.0)
    load, importance = means[:experts], means[experts : 2 * experts]
    return replace(
        routing,
        balance_loss=experts * (load * importance).sum(),
        z_loss=means[-3],
        load=load.detach(),
        entropy=means[-2].detach(),
    )


def _environment(name: str, *, least: int = 0, below: int = 1 << 31) -> int:
    value = os.environ.get(name, "")
    if not (value.isdecimal() and least <= int(value) < below):
        raise InputError(
            "Cannot tell which processes train together",
            cause=f"{name} is {value!r}, which is no number from {least} to {below - 1}"
            if value
            else f"the environment has no {name}",
            remedy=_REMEDY,
        )
    return int(value)


def _is_initialized() -> bool:
    return distributed.is_available() and distributed.is_initialized()


class _AllReduceSum(torch.autograd.Function):
    # Every rank computes the same loss of all the values, and gradients are averaged over the ranks afterwards: this
    # rank's gradient, times the world size, gives just the gradient of that one loss, without another collective.
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        summed = values.clone()
        distributed.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * world_size()


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.rows = len(rows)
        parts = [torch.empty_like(rows) for _ in range(world_size())]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        first = rank() * ctx.rows
        return gradients[0][first : first + ctx.rows] * world_size()
