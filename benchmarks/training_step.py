"""Measure a training step at 2 mm, and what our implementations save: ratios within one run.

    python benchmarks/training_step.py [--networks magpie-s magpie-s-encoder-experts] [--size 48 64 48] [--batch-size 1]
        [--runs 15] [--precision auto] [--device cpu]

The backbone of each network takes the same steps as it is and in variants: on a CPU with torch's own in place of parts
of ours, on a GPU with other choices of torch's. Every round takes a new patch, as a training does, and all variants in
turn. The precision is that of a training on this computer. Times are CPU seconds of one thread, on a GPU seconds until
it is synchronized, medians of the rounds; ratios are to the first network as it is, medians of those within a round.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from unittest.mock import patch

import torch
from torch import Tensor, nn

from magpie_core.networks import convolution, stem
from magpie_core.networks.build import build_network
from magpie_core.networks.convolution import InstanceNorm
from magpie_core.networks.device import Device, choose_precision
from magpie_core.networks.magpie_net import MagpieNet
from magpie_core.networks.ops import grouped_linear
from magpie_core.networks.presets import PRESETS, preset
from magpie_core.training.losses import region_loss

OURS = "as it is"


def torch_norm() -> list[AbstractContextManager]:
    """Torch's instance normalization, and so plain memory order after every convolution."""
    return [patch.object(InstanceNorm, "forward", nn.InstanceNorm3d.forward)]


def own_sizes() -> list[AbstractContextManager]:
    """Each expert's product of the size it has."""
    return [patch.object(grouped_linear, "_padded_addmm", torch.addmm)]


def torch_convolutions() -> list[AbstractContextManager]:
    """Convolutions as torch computes them, the channels first in memory."""
    return [
        patch.object(convolution.Convolution, "forward", nn.Conv3d.forward),
        patch.object(convolution.UpConvolution, "forward", nn.ConvTranspose3d.forward),
        patch.object(stem, "convolve", lambda images, kernel: nn.functional.conv3d(images, kernel, padding=1)),
        patch.object(MagpieNet, "_memory_format", lambda *_: torch.contiguous_format),
    ]


def all_of_torch() -> list[AbstractContextManager]:
    """All of these."""
    return [*torch_norm(), *own_sizes(), *torch_convolutions()]


def cudnn_benchmark() -> list[AbstractContextManager]:
    """Let cuDNN benchmark its convolutions for each size."""
    return [torch.backends.cudnn.flags(enabled=True, benchmark=True)]


def channels_last() -> list[AbstractContextManager]:
    """Use the memory format of the CPU, with the instance normalization that keeps it."""
    return [
        patch.object(MagpieNet, "_memory_format", lambda *_: torch.channels_last_3d),
        patch.object(InstanceNorm, "forward", InstanceNorm.batchwise),
    ]


def one_after_another() -> list[AbstractContextManager]:
    """An expert's product after the other's."""
    return [patch.object(grouped_linear, "supports_grouped_mm", lambda *_: False)]


Variants = dict[str, Callable[[], list[AbstractContextManager]]]
CPU_VARIANTS: Variants = {
    OURS: list,
    "torch's instance normalization": torch_norm,
    "products of own size": own_sizes,
    "torch's convolutions": torch_convolutions,
    "all of these": all_of_torch,
}
GPU_VARIANTS: Variants = {
    OURS: list,
    "cuDNN benchmark": cudnn_benchmark,
    "channels last": channels_last,
    "channels last, cuDNN benchmark": lambda: [*channels_last(), *cudnn_benchmark()],
    "experts one after another": one_after_another,
}


def step_s(network: nn.Module, images: Tensor, targets: Tensor, device: Device) -> float:
    """Return the seconds of one step, without the optimizer: CPU time, or until the GPU is synchronized."""
    on_gpu = images.is_cuda
    now = time.perf_counter if on_gpu else time.process_time
    if on_gpu:
        torch.cuda.synchronize()
    start = now()
    with device.autocast():
        output = network(images, network.config.modalities, at_backbone_resolution=True)
    loss = region_loss(output, targets, 0.5, torch.ones_like(targets[:, :1])).loss
    network.zero_grad(set_to_none=True)
    loss.backward()
    if on_gpu:
        torch.cuda.synchronize()
    return now() - start


def main() -> None:
    """Print a line for each variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--networks", nargs="+", choices=sorted(PRESETS), default=["magpie-s", "magpie-s-encoder-experts"]
    )
    parser.add_argument("--size", type=int, nargs=3, default=(48, 64, 48))
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--precision", choices=["auto", "bf16", "fp32"], default="auto")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device = Device(options.device, choose_precision(options.device, options.precision))
    variants = CPU_VARIANTS if options.device == "cpu" else GPU_VARIANTS
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    networks = {name: build_network(preset(name)).train().to(options.device) for name in options.networks}
    times: dict[tuple[str, str], list[float]] = {(name, variant): [] for name in networks for variant in variants}
    for run in range(options.runs + 2):
        images = torch.randn(options.batch_size, 4, *options.size, device=options.device)
        images *= torch.rand(options.batch_size, 1, *options.size, device=options.device) > 0.3
        targets = (torch.rand(options.batch_size, 3, *options.size, device=options.device) > 0.9).float()
        for (name, variant), seconds in times.items():
            with ExitStack() as stack:
                for change in variants[variant]():
                    stack.enter_context(change)
                own_s = step_s(networks[name], images, targets, device)
            if run >= 2:
                seconds.append(own_s)
    reference = times[options.networks[0], OURS]
    print(device.precision)
    print("| network | | seconds | ratio |")
    print("|---|---|---|---|")
    for (name, variant), seconds in times.items():
        ratio = statistics.median(own / best for own, best in zip(seconds, reference, strict=True))
        print(f"| {name} | {variant} | {statistics.median(seconds):.3f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
