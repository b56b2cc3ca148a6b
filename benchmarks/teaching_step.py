"""What a teaching step at 2 mm costs, and what our ways of computing save: ratios within one run.

    python benchmarks/teaching_step.py [--networks magpie-s magpie-s-encoder-experts] [--size 48 64 48] [--boxes 1]
        [--runs 15] [--precision auto] [--device cpu]

The body of each network takes the same steps as it is and in other ways: on a processor with torch's own in place of
parts of ours, on a graphics card with other choices of torch's. Every round takes a new box, as a training does, and
all ways in turn. The precision is that of a teaching on this computer. Times are processor seconds of one thread, on a
graphics card seconds until the card is done, medians of the rounds; ratios are to the first network as it is, medians
of the ratios within a round.
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
from magpie_core.networks.device import Device, choose_precision
from magpie_core.networks.instance_norm import InstanceNorm
from magpie_core.networks.magpie_net import MagpieNet
from magpie_core.networks.ops import grouped_product
from magpie_core.networks.presets import PRESETS, preset
from magpie_core.training.losses import region_loss

OURS = "as it is"


def torch_norm() -> list[AbstractContextManager]:
    """Torch's instance normalization, and so plain memory order after every convolution."""
    return [patch.object(InstanceNorm, "forward", nn.InstanceNorm3d.forward)]


def own_sizes() -> list[AbstractContextManager]:
    """Each expert's product of the size it has."""
    return [patch.object(grouped_product, "_product_of_usual_size", torch.addmm)]


def torch_convolutions() -> list[AbstractContextManager]:
    """Convolutions as torch computes them, the channels first in memory."""
    return [
        patch.object(convolution.Convolution, "forward", nn.Conv3d.forward),
        patch.object(convolution.UpConvolution, "forward", nn.ConvTranspose3d.forward),
        patch.object(
            stem, "convolve", lambda images, kernel: nn.functional.conv3d(images, kernel, padding=1)
        ),
        patch.object(MagpieNet, "_memory_format", lambda *_: torch.contiguous_format),
    ]


def all_of_torch() -> list[AbstractContextManager]:
    """All of these."""
    return [*torch_norm(), *own_sizes(), *torch_convolutions()]


def by_trial() -> list[AbstractContextManager]:
    """The card's library tries its convolutions for each size and keeps the fastest."""
    return [torch.backends.cudnn.flags(enabled=True, benchmark=True)]


def channels_last() -> list[AbstractContextManager]:
    """The order in memory of a processor, with the instance normalization that keeps it."""
    return [
        patch.object(MagpieNet, "_memory_format", lambda *_: torch.channels_last_3d),
        patch.object(InstanceNorm, "forward", InstanceNorm.batchwise),
    ]


def one_after_another() -> list[AbstractContextManager]:
    """An expert's product after the other's."""
    return [patch.object(grouped_product, "takes_together", lambda *_: False)]


Ways = dict[str, Callable[[], list[AbstractContextManager]]]
PROCESSOR_WAYS: Ways = {
    OURS: list,
    "torch's instance normalization": torch_norm,
    "products of own size": own_sizes,
    "torch's convolutions": torch_convolutions,
    "all of these": all_of_torch,
}
CARD_WAYS: Ways = {
    OURS: list,
    "convolutions chosen by trial": by_trial,
    "channels last": channels_last,
    "channels last, chosen by trial": lambda: [*channels_last(), *by_trial()],
    "experts one after another": one_after_another,
}


def step_s(network: nn.Module, images: Tensor, targets: Tensor, device: Device) -> float:
    """Seconds of one step, without the optimizer: of the processor, or until the graphics card is done."""
    on_card = images.is_cuda
    now = time.perf_counter if on_card else time.process_time
    if on_card:
        torch.cuda.synchronize()
    start = now()
    with device.autocast():
        output = network(images, network.config.modalities, at_backbone_resolution=True)
    loss = region_loss(output, targets, 0.5, torch.ones_like(targets[:, :1])).loss
    network.zero_grad(set_to_none=True)
    loss.backward()
    if on_card:
        torch.cuda.synchronize()
    return now() - start


def main() -> None:
    """Print a line for each way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--networks", nargs="+", choices=sorted(PRESETS), default=["magpie-s", "magpie-s-encoder-experts"]
    )
    parser.add_argument("--size", type=int, nargs=3, default=(48, 64, 48))
    parser.add_argument("--boxes", type=int, default=1)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--precision", choices=["auto", "bf16", "fp32"], default="auto")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device = Device(options.device, choose_precision(options.device, options.precision))
    ways = PROCESSOR_WAYS if options.device == "cpu" else CARD_WAYS
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    networks = {name: build_network(preset(name)).train().to(options.device) for name in options.networks}
    times: dict[tuple[str, str], list[float]] = {(name, way): [] for name in networks for way in ways}
    for run in range(options.runs + 2):
        images = torch.randn(options.boxes, 4, *options.size, device=options.device)
        images *= torch.rand(options.boxes, 1, *options.size, device=options.device) > 0.3
        targets = (torch.rand(options.boxes, 3, *options.size, device=options.device) > 0.9).float()
        for (name, way), seconds in times.items():
            with ExitStack() as stack:
                for change in ways[way]():
                    stack.enter_context(change)
                own_s = step_s(networks[name], images, targets, device)
            if run >= 2:
                seconds.append(own_s)
    reference = times[options.networks[0], OURS]
    print(device.precision)
    print("| network | | seconds | ratio |")
    print("|---|---|---|---|")
    for (name, way), seconds in times.items():
        ratio = statistics.median(own / best for own, best in zip(seconds, reference, strict=True))
        print(f"| {name} | {way} | {statistics.median(seconds):.3f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
