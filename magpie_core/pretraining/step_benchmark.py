"""Count and time some real steps of a pretraining on this computer."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from magpie_core.networks.build import build_network
from magpie_core.networks.config import NetworkConfig
from magpie_core.networks.device import Device, torch_threads
from magpie_core.pretraining.config import PretrainingConfig
from magpie_core.pretraining.cost_estimate import StepCost
from magpie_core.pretraining.masked_autoencoder import MaskedAutoencoder
from magpie_core.pretraining.pretraining_step import PretrainingStep
from magpie_core.training.sample import Sample

_BRAIN = (72, 86, 72)
_LEAST_VIEW = 32


def measure_step_cost(
    network_config: NetworkConfig, config: PretrainingConfig, *, device: Device | None = None, steps: int = 2
) -> StepCost:
    """Take a training step on one scan of a phantom and count it; then `steps` more, and time them.

    Args:
        config: Its batch size has no effect.
        device: The CPU in bf16 by default.
        steps: 0 to count alone, with the smallest views that the network takes, scaled to the number of voxels; then
            only the drawing of views is timed.
    """
    device = device or Device("cpu", "bf16")
    torch.manual_seed(0)
    model = MaskedAutoencoder(build_network(network_config), config).to(device.name).train()
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    least = math.lcm(config.block_size, network_config.stride // network_config.backbone_stride)
    least = max(least, -(-_LEAST_VIEW // least) * least)
    view_size = config.view_size if steps else (least, least, least)
    one = replace(config, batch_size=1)
    modalities = network_config.modalities
    step = PretrainingStep(_Phantom(), replace(one, view_size=view_size), modalities, device.name)
    views = step.draw(np.random.default_rng(0))
    step.draw = lambda *_, **__: views  # type: ignore[method-assign]  # drawn before, so that drawing is not timed

    flops = FlopCounterMode(display=False, custom_mapping=_FORMULAS)
    traffic, activations = _Traffic(), _Activations(model)
    with torch.autograd.graph.saved_tensors_hooks(activations, lambda tensor: tensor), flops, traffic:
        _forward_backward_s(model, step, device, 0)
    optimizer = torch.optim.AdamW(trainable)
    times = []
    for number in range(steps):
        forward_backward_s = _forward_backward_s(model, step, device, number)
        start = _now(device)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        times.append((forward_backward_s, _now(device) - start))
    forward_backward_s, update_s = np.median(times, axis=0).tolist() if times else (math.nan, math.nan)
    draw_s = _draw_s(PretrainingStep(_Phantom(), one, modalities, device.name))
    scale = math.prod(config.view_size) / math.prod(view_size)
    return StepCost(
        flops=scale * flops.get_total_flops(),
        traffic_bytes=scale * traffic.bytes,
        kernels=traffic.operations,
        activation_bytes=scale * activations.bytes,
        parameters=sum(parameter.numel() for parameter in trainable),
        draw_s=draw_s,
        forward_backward_s=forward_backward_s,
        update_s=update_s,
    )


def _forward_backward_s(model: MaskedAutoencoder, step: PretrainingStep, device: Device, number: int) -> float:
    def forward(*arguments: Any, **named: Any) -> Any:
        with device.autocast():
            return model(*arguments, **named)

    start = _now(device)
    step(forward, 0.0, np.random.default_rng(number)).loss.backward()
    return _now(device) - start


def _draw_s(step: PretrainingStep) -> float:
    """Return mean CPU seconds of drawing a scan's views on one thread."""
    times = []
    with torch_threads(1):
        for number in range(8):
            start = time.process_time()  # not the time of other programs
            step.draw(np.random.default_rng(number))
            times.append(time.process_time() - start)
    return float(np.mean(times))


def _now(device: Device) -> float:
    if device.name.startswith("cuda"):
        torch.cuda.synchronize(device.name)
    return time.perf_counter()


class _Phantom:
    """Source of an ellipsoid of noise with all modalities, of a brain's size at 2 mm."""

    def __init__(self) -> None:
        grid = np.meshgrid(*(np.linspace(-1, 1, size) for size in _BRAIN), indexing="ij")
        inside = sum(axis**2 for axis in grid) < 1
        noise = np.random.default_rng(0).normal(size=(4, *_BRAIN))
        self._sample = Sample.pack(noise * inside, np.zeros(_BRAIN, np.uint8), name="phantom")

    def draw(self, rng: np.random.Generator) -> Sample:
        return self._sample


class _Traffic(TorchDispatchMode):
    """Counts the bytes that operations read and write; tensor views move none."""

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
            leaves = tree_leaves((args, kwargs, result))
            self.bytes += sum(leaf.nbytes for leaf in leaves if isinstance(leaf, Tensor))
        return result


class _Activations:
    """Counts the bytes of tensors kept for the backward pass, each storage once, without parameters."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.bytes = 0.0
        self._seen = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def __call__(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return tensor


def _convolution_backward_flops(
    gradient: tuple[int, ...], images: tuple[int, ...], kernels: tuple[int, ...], *rest: Any, **_: Any
) -> int:
    """Count as much as the forward pass for each gradient computed; torch's own formula ignores groups (2.13)."""
    transposed, needed = rest[4], rest[7]
    positions = math.prod((images if transposed else gradient)[2:])
    return (int(needed[0]) + int(needed[1])) * 2 * images[0] * positions * math.prod(kernels)


_FORMULAS = {
    # Rows sorted by expert times each expert's matrix, or the gradient of those matrices.
    torch.ops.aten._grouped_mm: lambda a, b, *_, **__: 2 * math.prod(a) * b[-1],
    torch.ops.aten.convolution_backward: _convolution_backward_flops,
}
