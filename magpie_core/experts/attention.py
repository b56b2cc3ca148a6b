"""Where the network's attention looks from one place of a study."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from magpie_core.errors import InputError
from magpie_core.imaging.study import Study
from magpie_core.inference.sliding_window import PatchOptions
from magpie_core.models.model import Model
from magpie_core.networks.device import choose_device, torch_threads
from magpie_core.networks.large_kernel_attention import DeformableLargeKernelAttention
from magpie_core.networks.magpie_net import MagpieNet
from magpie_core.networks.multi_scale_attention import MultiScaleDeformableAttention
from magpie_core.preprocessing.coregistration import coregister
from magpie_core.preprocessing.model_grid import ModelGridStudy, prepare

_TAPS = [(x, y, z) for z, y, x in itertools.product((-1, 0, 1), repeat=3)]


@dataclass(frozen=True)
class AttentionPoint:
    """One place that one token looks at.

    Attributes
    ----------
    layer
        Part of the network: "multi-scale attention, encoder stage 3", "large-kernel attention, decoder stage 2".
    head, level, point
        For multi-scale attention: the head, how many stages finer the map is that is looked at, and the number of the
        point. For large-kernel attention head and level are 0, and the point is the tap of the 3^3 kernel.
    weight
        Share of the layer's attention, over all its points 1: the softmax over levels and points, over the number of
        heads; for a tap the mean absolute weight of its channels over that of all taps.
    ras, from_ras
        Where it looks, and where it would without a learned offset: the token's middle, or the tap's own place; mm.
    """

    layer: str
    head: int
    level: int
    point: int
    weight: float
    ras: tuple[float, float, float]
    from_ras: tuple[float, float, float]

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def check_attention(model: Model) -> MagpieNet:
    """The model's network, if it has parts whose attention can be shown; else InputError."""
    network = model.network
    if isinstance(network, MagpieNet) and (network.config.large_kernel or network.config.multi_scale):
        return network
    raise InputError(
        "The attention cannot be shown",
        cause=f"the model {model.name} has no attention parts",
        remedy="Use a model that has them (magpie train: --network magpie-s-full); "
        "the experts can be shown all the same",
    )


def attention_points(
    model: Model,
    working: ModelGridStudy,
    ras: tuple[float, float, float],
    *,
    device: str = "auto",
    threads: int | None = None,
) -> list[AttentionPoint]:
    """Sampling points of multi-scale attention and offsets of large-kernel attention, from the token at a place.

    The network looks once at the window of the segmentation that lies around the place; a brain that fits into one
    window is seen just as the segmentation saw it, but for the mirrored look. The network is not changed.

    Parameters
    ----------
    model
        With such parts.
    working
        The study on the model's grid.
    ras
        The place, RAS mm in the study's world.
    device, threads
        As for `segment_study`.

    Raises
    ------
    InputError
        If the model has no such parts, or the place lies outside the brain.
    """
    network = check_attention(model)
    index = np.linalg.inv(working.affine) @ np.array([*ras, 1.0])
    voxel = np.rint(np.nan_to_num(index[:3], nan=-1.0)).clip(-1, 10_000).astype(int)
    if (voxel < 0).any() or (voxel >= working.brain.shape).any() or not working.brain[tuple(voxel)]:
        place = ", ".join(f"{value:.0f}" for value in ras)
        raise InputError(
            "There is no attention at this place",
            cause=f"{place} (right, anterior, superior, mm) lies outside the brain",
            remedy="Choose a place in the brain",
        )
    known = [name for name in working.modalities if name.value in network.config.modalities]
    images = torch.from_numpy(working.images[[working.modalities.index(name) for name in known]])[None]
    patch, start = _window(images, voxel, network.config.stride)
    world = working.affine.copy()
    world[:3, 3] = working.affine[:3, :3] @ start + working.affine[:3, 3]
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


def attend_study(
    study: Study,
    model: Model,
    ras: tuple[float, float, float],
    *,
    device: str = "auto",
    threads: int | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> list[AttentionPoint]:
    """As `attention_points`, of a study as it was read; it is prepared as for `segment_study`."""
    tell = progress or (lambda share, stage: None)
    names = check_attention(model).config.modalities
    kept = [name for name in study.modalities if name.value in names or name is study.reference]
    images = Study({name: study.volumes[name] for name in kept}, study.name, study.warnings)
    tell(0.0, "Preparing the images")
    ready = coregister(images, threads=threads, progress=lambda share, stage: tell(0.5 * share, stage))
    working = prepare(ready.study, spacing_mm=model.description.spacing_mm, brain=ready.brain)
    tell(0.6, "Looking at the attention")
    return attention_points(model, working, ras, device=device, threads=threads)


def _window(images: Tensor, voxel: np.ndarray, stride: int) -> tuple[Tensor, np.ndarray]:
    """The part of `images` (1, S, D, H, W) around a voxel that the network sees, padded, and where it starts."""
    size = np.array(images.shape[2:])
    padded = -(-size // stride) * stride
    largest = np.array(PatchOptions().window) // stride * stride
    shape = np.minimum(padded, largest)
    start = np.clip(voxel - shape // 2, 0, padded - shape)
    room = [amount for n, p in zip(size[::-1], padded[::-1], strict=True) for amount in (0, int(p - n))]
    whole = F.pad(images, room)
    box = tuple(slice(int(at), int(at + length)) for at, length in zip(start, shape, strict=True))
    return whole[:, :, box[0], box[1], box[2]], start


def _parts(network: MagpieNet) -> Iterator[tuple[nn.Module, str, int]]:
    """Every attention, its name, and the working grid's voxels per voxel of its map."""
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
    """What one attention does at the token that holds `voxel` (3,) of the window; `world` is the window's affine."""
    size = features.shape[2:]
    token = voxel // stride
    middle = token * stride + (stride - 1) / 2

    def place(index: np.ndarray) -> tuple[float, float, float]:
        x, y, z = world[:3, :3] @ index + world[:3, 3]
        return round(float(x), 3), round(float(y), 3), round(float(z), 3)

    if isinstance(part, MultiScaleDeformableAttention):
        row = int(np.ravel_multi_index(tuple(token), tuple(size)))
        offsets, weights = (tensor[0, row].float().cpu().numpy() for tensor in part.aim(features))
        for head, level, point in np.ndindex(*weights.shape):
            # The offset counts voxels of its level along W, H, D.
            reached = middle + offsets[head, level, point][::-1] * stride / 2**level
            share = float(weights[head, level, point]) / len(weights)
            yield AttentionPoint(name, head, level, point, share, place(reached), place(middle))
    else:
        assert isinstance(part, DeformableLargeKernelAttention)
        moves = part.aim(features)[0, :, :, token[0], token[1], token[2]].float().cpu().numpy()
        strengths = part.deformable.weight.detach().abs().mean(dim=0).flatten().float().cpu().numpy()
        for tap, (step, move) in enumerate(zip(_TAPS, moves, strict=True)):
            own = middle + np.array(step[::-1]) * stride
            share = float(strengths[tap] / strengths.sum())
            yield AttentionPoint(name, 0, 0, tap, share, place(own + move[::-1] * stride), place(own))
