"""Comparison of networks: parameters, multiply-accumulates, time and memory of one patch.

    python benchmarks/network.py [--size 128] [--runs 7] [--threads 2] [--only NAME ...] [--train] [--json FILE]
    python benchmarks/network.py --experts

Time is the median of the runs, which alternate between the networks, so that other load affects all of them; ratios
are to MONAI's MedNeXt-L as shipped (float32, its own memory format), medians of the ratios within a round. Peak memory
is that of one pass in a separate process, less the memory before it. 1 MAC = 2 FLOPs. On a GPU (--device cuda) time and
memory are the GPU's, in bfloat16. --experts counts parameters by the number of experts and experts per token, with the
trend of the paper's Table 3.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES

REFERENCE = "MONAI MedNeXt-L"
OURS = {
    "MAGPIE A": "magpie-a",
    "MAGPIE B1 (= l)": "magpie-b1",
    "MAGPIE B2": "magpie-b2",
    "MAGPIE m": "magpie-m",
    "MAGPIE s": "magpie-s",
    "own MedNeXt-L": "mednext-l",
    "own MedNeXt-M": "mednext-m",
}
PAPER = {
    "MAGPIE A": "120 M, 62 M active, 245 G, 85 ms and 8.4 GB on an H100",
    "MAGPIE B1 (= l)": "the same row",
    "MAGPIE B2": "the same row",
    "MAGPIE m": "30 M, 2.1 GB (the student)",
    REFERENCE: "61.8 M (its own paper)",
}


@dataclass(frozen=True)
class Figures:
    """Measurements of one network."""

    total_m: float
    active_m: float
    gmacs: float
    peak_gib: float


def monai_networks(size: int) -> dict[str, Callable[[], nn.Module]]:
    """Return the peers, as MONAI ships them."""
    from monai.networks import nets

    kernels = [[3] * 3] * 6
    strides = [[1] * 3, *[[2] * 3] * 5]
    return {
        REFERENCE: lambda: nets.MedNeXtL(spatial_dims=3, in_channels=4, out_channels=3, kernel_size=3),
        "MONAI MedNeXt-M": lambda: nets.MedNeXtM(spatial_dims=3, in_channels=4, out_channels=3, kernel_size=3),
        "MONAI DynUNet": lambda: nets.DynUNet(3, 4, 3, kernels, strides, strides[1:]),
        "MONAI SwinUNETR": lambda: nets.SwinUNETR(in_channels=4, out_channels=3, feature_size=48),
        "MONAI SegResNet": lambda: nets.SegResNet(init_filters=32, in_channels=4, out_channels=3),
    }


class Ours(nn.Module):
    """A MAGPIE network with the interface of the peers."""

    def __init__(self, name: str) -> None:
        super().__init__()
        from magpie_core.networks.magpie_net import MagpieNet
        from magpie_core.networks.presets import preset

        self.network = MagpieNet(preset(name))

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images, GLIOMA_MODALITY_NAMES).logits


def build(name: str, size: int) -> nn.Module:
    """Build a network by its name in the table, with random weights."""
    torch.manual_seed(0)
    return (Ours(OURS[name]) if name in OURS else monai_networks(size)[name]()).eval()


def one_pass(network: nn.Module, images: Tensor, *, train: bool, bf16: bool) -> None:
    """Run a forward pass, or forward and backward."""
    with torch.set_grad_enabled(train), torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
        output = network(images)
    if train:
        output.float().mean().backward()
        network.zero_grad(set_to_none=True)
    if images.is_cuda:
        torch.cuda.synchronize()


def seconds(network: nn.Module, images: Tensor, **options: bool) -> float:
    """Measure the wall time of a pass, s."""
    start = time.perf_counter()
    one_pass(network, images, **options)
    return time.perf_counter() - start


def figures(name: str, size: int, *, train: bool) -> Figures:
    """Measure parameters, multiply-accumulates and memory; for a separate process."""
    network = build(name, size)
    total = sum(parameter.numel() for parameter in network.parameters())
    active = network.network.active_parameters if isinstance(network, Ours) else total
    images = torch.randn(1, 4, size, size, size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    one_pass(network, images, train=train, bf16=False)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    count = min(size, 64)
    small = torch.randn(1, 4, count, count, count)
    mapping = {}
    grouped = getattr(torch.ops.aten, "_grouped_mm", None)
    if grouped is not None:
        # The rows are divided among the groups: the work is that of one product.
        mapping[grouped] = lambda rows, matrices, *rest, out_shape=None, **kw: 2 * math.prod(rows) * matrices[-1]
    counter = FlopCounterMode(display=False, custom_mapping=mapping)
    with counter, torch.no_grad():
        network(small)
    # Every operation is proportional to the number of voxels.
    gmacs = counter.get_total_flops() / 2e9 * (size / count) ** 3
    return Figures(total / 1e6, active / 1e6, gmacs, peak / 2**20)


def measure_in_process(name: str, options: argparse.Namespace) -> Figures:
    """Run `figures` in a separate process."""
    command = [sys.executable, __file__, "--figures-of", name, "--size", str(options.size)]
    command += ["--threads", str(options.threads)] + ["--train"] * options.train
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return Figures(**json.loads(done.stdout.splitlines()[-1]))


def count_experts() -> None:
    """Print parameters by the number of experts and experts per token."""
    from dataclasses import replace

    from magpie_core.networks.magpie_net import MagpieNet
    from magpie_core.networks.presets import PRESETS

    print("| experts | per token | A total | A active | B1 total | B1 active | paper total | paper active |")
    print("|---|---|---|---|---|---|---|---|")
    for experts, chosen in [(4, 2), (8, 1), (8, 2), (8, 3), (8, 8), (16, 2), (32, 2)]:
        cells = []
        for config in (PRESETS["magpie-a"], PRESETS["magpie-b1"]):
            part = replace(config.experts, experts=experts, experts_per_token=chosen)
            with torch.device("meta"):
                network = MagpieNet(replace(config, experts=part))
            cells += [network.total_parameters / 1e6, network.active_parameters / 1e6]
        cells += [62 + 7.25 * experts, 31.5 + 15.5 * chosen]
        print(f"| {experts} | {chosen} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true", help="run the MAGPIE networks in bfloat16")
    parser.add_argument("--train", action="store_true", help="measure forward and backward")
    parser.add_argument("--only", nargs="*", help="networks to compare with the reference")
    parser.add_argument("--experts", action="store_true", help="count parameters by the number of experts instead")
    parser.add_argument("--json")
    parser.add_argument("--figures-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.experts:
        count_experts()
        return
    if options.figures_of:
        print(json.dumps(vars(figures(options.figures_of, options.size, train=options.train))))
        return
    names = [*OURS, *monai_networks(options.size)]
    names = [name for name in names if not options.only or name in (*options.only, REFERENCE)]
    print(f"{options.size}^3 voxels, 4 modalities, {options.threads} threads, torch {torch.__version__}", flush=True)
    known: dict[str, Figures] = {}
    for name in names:
        try:
            known[name] = measure_in_process(name, options)
        except RuntimeError as error:
            print(f"{name} skipped: {error}", file=sys.stderr)
    cuda = options.device.startswith("cuda")
    images = torch.randn(1, 4, *[options.size] * 3, device=options.device)
    networks = {name: build(name, options.size).to(options.device) for name in known}
    times: dict[str, list[float]] = {name: [] for name in known}
    memory: dict[str, float] = {}
    for _ in range(options.runs + 1):
        for name, network in networks.items():
            bf16 = cuda or (options.bf16 and name in OURS)
            if cuda:
                torch.cuda.reset_peak_memory_stats()
            times[name].append(seconds(network, images, train=options.train, bf16=bf16))
            if cuda:
                memory[name] = torch.cuda.max_memory_allocated() / 2**30
            gc.collect()
    rows = []
    print("\n| network | M params | M active | GMACs | GFLOPs | seconds | of MedNeXt-L | peak GiB | paper |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, figure in known.items():
        # The first round warms up.
        took = times[name][1:]
        ratio = statistics.median(a / b for a, b in zip(took, times[REFERENCE][1:], strict=True))
        row = {
            "network": name,
            **vars(figure),
            "peak_gib": memory.get(name, figure.peak_gib),
            "seconds": statistics.median(took),
            "ratio": ratio,
            "all_seconds": took,
        }
        rows.append(row)
        print(
            f"| {name} | {figure.total_m:.2f} | {figure.active_m:.2f} | {figure.gmacs:.1f} | {2 * figure.gmacs:.0f} | "
            f"{row['seconds']:.3f} | {ratio:.3f} | {row['peak_gib']:.2f} | {PAPER.get(name, '')} |"
        )
    if options.json:
        with open(options.json, "w", encoding="utf-8") as stream:
            json.dump({"size": options.size, "threads": options.threads, "rows": rows}, stream, indent=1)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    main()
