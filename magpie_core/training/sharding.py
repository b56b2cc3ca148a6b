"""A training's weights, gradients and moments divided among the processes (FSDP), and put together again."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from magpie_core.networks.conv_block import ConvBlock
from magpie_core.networks.expert_block import ExpertBlock
from magpie_core.networks.mednext_block import MedNeXtBlock
from magpie_core.training import distributed

_BLOCKS = (ConvBlock, ExpertBlock, MedNeXtBlock)


def divide(network: nn.Module, averaged: nn.Module, optimizer: torch.optim.Optimizer, device: str) -> None:
    """Leave each process its part of every parameter, gradient and moment; a pass gathers them block by block.

    Parameters
    ----------
    network, averaged
        Alike, with the same values in every process; both are divided in place (PyTorch FSDP2, arXiv 2304.11277).
    optimizer
        Of the network's parameters, all in one group; it goes on with their parts.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    # What a block gives is never changed in place.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
    mesh = init_device_mesh(torch.device(device).type, (distributed.count(),))
    before = list(network.parameters())
    for model in (network, averaged):
        for block in [part for part in model.modules() if isinstance(part, _BLOCKS)]:
            fully_shard(block, mesh=mesh)
        scalars = {parameter for parameter in model.parameters() if not parameter.ndim}
        fully_shard(model, mesh=mesh, ignored_params=scalars)
    after = list(network.parameters())
    (group,) = optimizer.param_groups
    group["params"] = after
    for old, new in zip(before, after, strict=True):
        moments = optimizer.state.pop(old, {})
        if moments:
            optimizer.state[new] = {key: _like(value, new) for key, value in moments.items()}


def average_rest(network: nn.Module) -> None:
    """Average the gradients of what cannot be divided, the scalars; those of the parts are averaged already."""
    for parameter in network.parameters():
        if parameter.grad is not None and not _is_part(parameter.grad):
            torch.distributed.all_reduce(parameter.grad)
            parameter.grad /= distributed.count()


def whole(values: Any) -> Any:
    """Values of a state dict, what is divided among them put together on the processor; all processes must ask."""
    if isinstance(values, dict):
        return {key: whole(value) for key, value in values.items()}
    return values.full_tensor().cpu() if _is_part(values) else values


def _like(moment: Any, parameter: Any) -> Any:
    """A moment divided as its parameter is; a count of steps stays."""
    from torch.distributed.tensor import distribute_tensor

    if _is_part(parameter) and moment.ndim:
        return distribute_tensor(moment, parameter.device_mesh, parameter.placements)
    return moment


def _is_part(value: Any) -> bool:
    return hasattr(value, "full_tensor")  # a DTensor, without loading its package where nothing is divided
