"""Measure the seconds of a pretraining step by preset, and the cost of a sparse over a dense encoder.

python benchmarks/pretraining.py FOLDER_OF_PACKED_SAMPLES
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch

from magpie_core.networks.build import build_network
from magpie_core.networks.device import Device, choose_precision
from magpie_core.networks.presets import preset
from magpie_core.pretraining.config import PRETRAINING_PRESETS, pretraining_preset
from magpie_core.pretraining.masked_autoencoder import MaskedAutoencoder
from magpie_core.pretraining.mixed_source import MixedSource
from magpie_core.pretraining.pretraining_step import PretrainingStep


def main() -> None:
    """Print a table of median CPU seconds of a step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--network", default="magpie-s")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", choices=["auto", "bf16", "fp32"], default="auto")
    chosen = parser.parse_args()
    device = Device("cpu", choose_precision("cpu", chosen.precision))
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    default, _ = pretraining_preset("magpie")
    recipes = {name: pretraining_preset(name)[0] for name in PRETRAINING_PRESETS}
    recipes["magpie, dense encoder"] = replace(default, sparse=False)
    print("| preset | views | draw s | forward s | backward s | step s |\n|---|---|---|---|---|---|")
    for name, config in recipes.items():
        network = build_network(preset(chosen.network))
        autoencoder = MaskedAutoencoder(network, config)
        source = MixedSource([chosen.source], spacing_mm=network.config.backbone_stride, unit_range=config.unit_range)
        training_step = PretrainingStep(source, config, network.config.modalities, "cpu")

        def forward(*arguments, autoencoder=autoencoder):
            with device.autocast():
                return autoencoder(*arguments)

        rows = []
        for number in range(chosen.rounds):
            start = time.process_time()
            training_step.draw(np.random.default_rng(number))
            drawn = time.process_time()
            step = training_step(forward, 0.0, np.random.default_rng(number))
            passed = time.process_time()
            step.loss.backward()
            rows.append((drawn - start, passed - drawn - (drawn - start), time.process_time() - passed))
        draw, ahead, back = (median(column) for column in zip(*rows, strict=True))
        views = config.batch_size * config.views
        print(f"| {name} | {views} | {draw:.2f} | {ahead:.2f} | {back:.2f} | {draw + ahead + back:.2f} |", flush=True)


if __name__ == "__main__":
    main()
