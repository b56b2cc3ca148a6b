"""Shard a training's weights, gradients and moments over the ranks (FSDP), and gather full tensors again."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from magpie_core.networks.convolution import ConvBlock
from magpie_core.networks.mednext_block import MedNeXtBlock
from magpie_core.networks.mixture_of_experts import ExpertBlock
from magpie_core.training import distributed

_BLOCKS = (ConvBlock, ExpertBlock, MedNeXtBlock)


def shard_network(network: nn.Module, ema_network: nn.Module, optimizer: torch.optim.Optimizer, device: str) -> None:
    """Leave each rank its shard of every parameter, gradient and moment; a forward pass gathers them block by block.

    Args:
        network, ema_network: Alike, with the same values in every rank; both are sharded in place (PyTorch FSDP2, arXiv
            2304.11277).
        optimizer: Of the network's parameters, all in one group; it continues with the shards.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    # A block's output is never changed in place.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
    mesh = init_device_mesh(torch.device(device).type, (distributed.world_size(),))
    before = list(network.parameters())
    for model in (network, ema_network):
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
            optimizer.state[new] = {key: _shard_like(value, new) for key, value in moments.items()}


def all_reduce_unsharded_gradients(network: nn.Module) -> None:
    """Average the gradients of scalars, which cannot be sharded; those of the shards are averaged already."""
    for parameter in network.parameters():
        if parameter.grad is not None and not _is_sharded(parameter.grad):
            torch.distributed.all_reduce(parameter.grad)
            parameter.grad /= distributed.world_size()


def full_state_dict(network: nn.Module) -> dict[str, Tensor]:
    """Return the network's state dict with sharded tensors gathered in CPU memory; a collective operation."""
    gathered: dict[str, Tensor] = full_tensors(network.state_dict())
    return gathered


def full_tensors(values: Any) -> Any:
    """Return a tensor or nested dictionary with sharded tensors gathered in CPU memory; a collective operation."""
    if isinstance(values, dict):
        return {key: full_tensors(value) for key, value in values.items()}
    return values.full_tensor().cpu() if _is_sharded(values) else values


def _shard_like(moment: Any, parameter: Any) -> Any:
    """Shard a moment as its parameter is; a scalar step count stays."""
    from torch.distributed.tensor import distribute_tensor

    if _is_sharded(parameter) and moment.ndim:
        return distribute_tensor(moment, parameter.device_mesh, parameter.placements)
    return moment


def _is_sharded(value: Any) -> bool:
    return hasattr(value, "full_tensor")  # a DTensor, without importing its package where nothing is sharded
