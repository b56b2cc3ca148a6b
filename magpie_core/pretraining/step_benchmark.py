"""Some real steps of a pretraining, counted and timed on this computer."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from magpie_core.networks.build import build_network
from magpie_core.networks.config import NetworkConfig
from magpie_core.networks.device import Device, torch_threads
from magpie_core.pretraining.config import PretrainingConfig
from magpie_core.pretraining.cost_estimate import StepWork
from magpie_core.pretraining.masked_autoencoder import MaskedAutoencoder
from magpie_core.pretraining.pretraining_step import PretrainingStep, ViewBatch
from magpie_core.training.sample import Sample

_BRAIN = (72, 86, 72)
_LEAST_VIEW = 32


def measure_pretraining(
    config: NetworkConfig,
    recipe: PretrainingConfig,
    *,
    device: Device | None = None,
    steps: int = 2,
) -> StepWork:
    """Take a step of one place on a made-up brain and count it; then `steps` more, and time them.

    Parameters
    ----------
    config
        The network.
    recipe
        Its views; the number of subjects plays no part.
    device
        Where, and how precisely; the processor in bf16 by default.
    steps
        0 to count alone, with the smallest views that the network takes, scaled by their number of voxels; then only
        the drawing of views is timed.

    Raises
    ------
    InputError, ModelError
        As `MaskedAutoencoder`.
    """
    device = device or Device("cpu", "bf16")
    torch.manual_seed(0)
    model = MaskedAutoencoder(build_network(config), recipe).to(device.name).train()
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning)
    least = math.lcm(recipe.block, config.stride // config.backbone_stride)
    least = max(least, -(-_LEAST_VIEW // least) * least)
    box = recipe.box if steps else (least, least, least)
    one = replace(recipe, subjects=1)
    views = PretrainingStep(_Phantom(), one, config.modalities, device.name)
    take_step = _SameViews(_Phantom(), replace(one, box=box), config.modalities, device.name)

    def forward(*arguments: Any, **named: Any) -> Any:
        with device.autocast():
            return model(*arguments, **named)

    def now() -> float:
        if device.name.startswith("cuda"):
            torch.cuda.synchronize(device.name)
        return time.perf_counter()

    def take(number: int) -> float:
        start = now()
        take_step(forward, 0.0, np.random.default_rng(number)).loss.backward()
        return now() - start

    def update() -> float:
        start = now()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return now() - start

    def draw(number: int) -> float:
        start = time.process_time()  # what other programs take of the processor is not counted
        views.draw(np.random.default_rng(number))
        return time.process_time() - start

    flops = FlopCounterMode(display=False, custom_mapping=_FORMULAS)
    traffic, kept = _Traffic(), _Kept(model)
    with torch.autograd.graph.saved_tensors_hooks(kept, lambda tensor: tensor), flops, traffic:
        take(0)
    times = [(take(number), update()) for number in range(steps)]
    pass_s, update_s = np.median(times, axis=0) if times else (math.nan, math.nan)
    with torch_threads(1):
        draw_s = np.mean([draw(number) for number in range(8)])
    scale = math.prod(recipe.box) / math.prod(box)
    return StepWork(
        flops=scale * flops.get_total_flops(),
        traffic_bytes=scale * traffic.bytes,
        kernels=traffic.operations,
        kept_bytes=scale * kept.bytes,
        parameters=sum(parameter.numel() for parameter in learning),
        draw_s=float(draw_s),
        pass_s=float(pass_s),
        update_s=float(update_s),
    )


class _SameViews(PretrainingStep):
    """The same views at every step, drawn before: drawing is not the network's work."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._views = super().draw(np.random.default_rng(0))

    def draw(
        self, random: np.random.Generator, *, agree: Callable[[Tensor], Tensor] = torch.clone
    ) -> ViewBatch:
        return self._views


class _Phantom:
    """An ellipsoid of noise with all modalities, of a brain's size at 2 mm."""

    def __init__(self) -> None:
        grid = np.meshgrid(*(np.linspace(-1, 1, size) for size in _BRAIN), indexing="ij")
        inside = sum(axis**2 for axis in grid) < 1
        noise = np.random.default_rng(0).normal(size=(4, *_BRAIN))
        self._sample = Sample.pack(noise * inside, np.zeros(_BRAIN, np.uint8), name="phantom")

    def draw(self, random: np.random.Generator) -> Sample:
        return self._sample


class _Traffic(TorchDispatchMode):
    """Bytes that operations read and write; views move none."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0.0
        self.operations = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.operations += 1
            self.bytes += sum(map(_bytes, _tensors((args, kwargs, result))))
        return result


class _Kept:
    """Bytes of tensors that wait for the backward pass, each storage once; parameters are there anyway."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.bytes = 0.0
        self._seen = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def __call__(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return tensor


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, dict):
        return [tensor for value in values.values() for tensor in _tensors(value)]
    if isinstance(values, (tuple, list)):
        return [tensor for value in values for tensor in _tensors(value)]
    return []


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _grouped_flops(a: tuple[int, ...], b: tuple[int, ...], *_: Any, **__: Any) -> int:
    """Rows sorted by expert times each expert's matrix, or the gradient of those matrices."""
    return 2 * math.prod(a) * b[-1]


def _convolution_backward_flops(
    gradient: tuple[int, ...], images: tuple[int, ...], kernels: tuple[int, ...], *rest: Any, **_: Any
) -> int:
    """As much as the forward pass for each gradient asked for; torch's own formula ignores groups (2.13)."""
    transposed, wanted = rest[4], rest[7]
    places = math.prod((images if transposed else gradient)[2:])
    return (int(wanted[0]) + int(wanted[1])) * 2 * images[0] * places * math.prod(kernels)


_FORMULAS = {
    torch.ops.aten._grouped_mm: _grouped_flops,
    torch.ops.aten.convolution_backward: _convolution_backward_flops,
}
