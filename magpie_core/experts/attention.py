"""Sampling points of the network's deformable attention at one place of a study."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from magpie_core.errors import InputError
from magpie_core.inference.sliding_window import PatchOptions
from magpie_core.models.model import Model
from magpie_core.networks.device import choose_device, torch_threads
from magpie_core.networks.large_kernel_attention import DeformableLargeKernelAttention
from magpie_core.networks.magpie_net import MagpieNet
from magpie_core.networks.multi_scale_attention import MultiScaleDeformableAttention
from magpie_core.preprocessing.model_grid import ModelGridStudy

_TAPS = [(x, y, z) for z, y, x in itertools.product((-1, 0, 1), repeat=3)]


@dataclass(frozen=True)
class AttentionPoint:
    """A sampling point of one token.

    Attributes:
        layer: Part of the network: "multi-scale attention, encoder stage 3", "large-kernel attention, decoder stage 2".
        head, level, point: For multi-scale attention: the head, the number of stages by which the sampled map is finer,
            and the point's number. For large-kernel attention head and level are 0, and the point is the tap of the 3^3
            kernel.
        weight: Fraction of the layer's attention, which sums to 1 over its points: the softmax over levels and points,
            divided by the number of heads; for a tap the mean absolute weight of its channels over that of all taps.
        ras, from_ras: Position of the point with and without its learned offset (without: the token's center, or the
            tap's position), RAS mm.
    """

    layer: str
    head: int
    level: int
    point: int
    weight: float
    ras: tuple[float, float, float]
    from_ras: tuple[float, float, float]


def check_attention(model: Model) -> MagpieNet:
    """Return the model's network if it has deformable attention, else InputError."""
    network = model.network
    if isinstance(network, MagpieNet) and (network.config.large_kernel or network.config.multi_scale):
        return network
    raise InputError(
        "Cannot show the attention",
        cause=f"the model {model.name} has no deformable attention",
        remedy="Use a model that has them (magpie train: --network magpie-s-full); its experts can be shown",
    )


def attention_points(
    model: Model,
    grid: ModelGridStudy,
    ras: tuple[float, float, float],
    *,
    device: str = "auto",
    threads: int | None = None,
) -> list[AttentionPoint]:
    """Compute the sampling points of multi-scale and large-kernel attention for the token at a place.

    The network is run once on the sliding-window patch around the place (RAS mm), without flip test-time augmentation.
    It is not changed.

    Raises:
        InputError: If the model has no such attention, or the place lies outside the brain.
    """
    network = check_attention(model)
    index = np.linalg.inv(grid.affine) @ np.array([*ras, 1.0])
    voxel = np.rint(np.nan_to_num(index[:3], nan=-1.0)).clip(-1, 10_000).astype(int)
    if (voxel < 0).any() or (voxel >= grid.brain.shape).any() or not grid.brain[tuple(voxel)]:
        place = ", ".join(f"{value:.0f}" for value in ras)
        raise InputError(
            "There is no attention at this place",
            cause=f"{place} (right, anterior, superior, mm) lies outside the brain",
            remedy="Choose a place in the brain",
        )
    known = [name for name in grid.modalities if name.value in network.config.modalities]
    images = torch.from_numpy(grid.images[[grid.modalities.index(name) for name in known]])[None]
    patch, start = _patch_around(images, voxel, network.config.stride)
    world = grid.affine.copy()
    world[:3, 3] = grid.affine[:3, :3] @ start + grid.affine[:3, 3]
    found: list[AttentionPoint] = []
    where, _ = choose_device(device, "fp32")
    network.to(where.name)
    hooks = [
        module.register_forward_pre_hook(
            lambda part, inputs, name=name, stride=stride: found.extend(
                _points(part, inputs[0], name, world, stride, voxel - start)
            )
        )
        for module, name, stride in _parts(network)
    ]
    try:
        with torch_threads(threads), torch.inference_mode():
            network(patch.to(where.name), [name.value for name in known])
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _patch_around(images: Tensor, voxel: np.ndarray, stride: int) -> tuple[Tensor, np.ndarray]:
    """Cut the patch of `images` (1, S, D, H, W) around a voxel, padded if need be; returns it and its first voxel."""
    size = np.array(images.shape[2:])
    padded = -(-size // stride) * stride
    largest = np.array(PatchOptions().size) // stride * stride
    shape = np.minimum(padded, largest)
    start = np.clip(voxel - shape // 2, 0, padded - shape)
    margins = [amount for n, p in zip(size[::-1], padded[::-1], strict=True) for amount in (0, int(p - n))]
    whole = F.pad(images, margins)
    box = tuple(slice(int(at), int(at + length)) for at, length in zip(start, shape, strict=True))
    return whole[:, :, box[0], box[1], box[2]], start


def _parts(network: MagpieNet) -> Iterator[tuple[nn.Module, str, int]]:
    """Yield every attention, its name, and its stride on the model grid."""
    sides = (
        ("multi-scale attention, encoder", network.encoder.attention),
        ("large-kernel attention, decoder", network.decoder.attention),
    )
    for name, parts in sides:
        for stage, module in parts.items():
            yield module, f"{name} stage {stage}", network.config.backbone_stride * 2 ** int(stage)


def _points(
    part: nn.Module, features: Tensor, name: str, world: np.ndarray, stride: int, voxel: np.ndarray
) -> Iterator[AttentionPoint]:
    """Yield the points of one attention for the token of `voxel` (3,) of the patch, whose affine is `world`."""
    size = features.shape[2:]
    token = voxel // stride
    center = token * stride + (stride - 1) / 2

    def place(index: np.ndarray) -> tuple[float, float, float]:
        x, y, z = world[:3, :3] @ index + world[:3, 3]
        return round(float(x), 3), round(float(y), 3), round(float(z), 3)

    if isinstance(part, MultiScaleDeformableAttention):
        row = int(np.ravel_multi_index(tuple(token), tuple(size)))
        offsets, weights = (tensor[0, row].float().cpu().numpy() for tensor in part.sampling(features))
        for head, level, point in np.ndindex(*weights.shape):
            # The offset counts voxels of its level along W, H, D.
            sampled = center + offsets[head, level, point][::-1] * stride / 2**level
            weight = float(weights[head, level, point]) / len(weights)
            yield AttentionPoint(name, head, level, point, weight, place(sampled), place(center))
    else:
        assert isinstance(part, DeformableLargeKernelAttention)
        offsets = part.offsets(features)[0, :, :, token[0], token[1], token[2]].float().cpu().numpy()
        strengths = part.deformable.weight.detach().abs().mean(dim=0).flatten().float().cpu().numpy()
        for tap, (step, offset) in enumerate(zip(_TAPS, offsets, strict=True)):
            own = center + np.array(step[::-1]) * stride
            weight = float(strengths[tap] / strengths.sum())
            yield AttentionPoint(name, 0, 0, tap, weight, place(own + offset[::-1] * stride), place(own))
