"""Compare starting weights when there are few real cases: the same training from several of them.

python benchmarks/starting_weights.py CASES --schema brats-2022 -o RUNS --start scratch=magpie-s-encoder-experts
    --start pretrained=runs/pretrained/model@2e-3 --start synthetic=runs/synthetic/model
    [--counts 5 10 15] [--folds 4] [--seeds 3] [--minutes 30 | --steps 1000] [--device cpu]

A start is a name and either a network (randomly initialized) or a model folder, optionally with @ and the learning
rate (2e-3 for a new network, else 1e-3). Seed s holds fold s out, the same for every start and count; the training
cases are the first of the others in a fixed random order, so that smaller sets are subsets of larger ones. Real cases
only, at the backbone's resolution; Dice at that resolution, by the BraTS rule for empty masks. An interrupted run is
resumed in RUNS, and a complete one is not repeated: start with a copy of benchmarks/figures/starting_weights_3000 to
add to its runs of 3,000 steps.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from statistics import mean

import numpy as np
import torch

from magpie_core.models.model import load_model
from magpie_core.networks.build import Network, build_network
from magpie_core.networks.presets import PRESETS, preset
from magpie_core.training.labeled_cases import CaseReader, list_cases
from magpie_core.training.loop_options import LoopOptions
from magpie_core.training.patch_sampling import CasePatches
from magpie_core.training.sample import Sample
from magpie_core.training.segmentation_training import train_on_cases
from magpie_core.training.validation import region_dice


def network_of(start: str, seed: int) -> tuple[Network, float]:
    """Return a network to start from, and its learning rate."""
    what, _, rate = start.partition("@")
    if what in PRESETS:
        torch.manual_seed(seed)
        return build_network(preset(what)), float(rate or 2e-3)
    return load_model(Path(what)).network, float(rate or 1e-3)


def read_cases(folder: Path, schema: str, cache: Path) -> list[Sample]:
    """Read all cases at the backbone's resolution, from the cache if they are there."""
    cache.mkdir(parents=True, exist_ok=True)
    samples = []
    for case in list_cases(folder):
        packed = cache / f"{case.name}.npy"
        if not packed.exists():
            np.save(packed, CaseReader(schema).read(case).downsampled().packed)
        samples.append(Sample(np.load(packed), case.name))
    return samples


def run(start: str, samples: list[Sample], count: int, seed: int, options: argparse.Namespace) -> list[dict]:
    """Train one model and score it on the held-out cases."""
    order = np.random.default_rng(0).permutation(len(samples))
    held_out = [samples[index] for index in order[seed :: options.folds]]
    others = [samples[index] for position, index in enumerate(order) if position % options.folds != seed]
    name = next(name for name, where in options.starts if where == start)
    folder = options.out / f"{name}_{count}_{seed}"
    result = folder / "dice.json"
    if not result.exists():
        network, learning_rate = network_of(start, seed)
        loop = LoopOptions(
            budget_minutes=options.minutes,
            budget_steps=options.steps,
            learning_rate=learning_rate,
            warmup_steps=50,
            ema_decay=0.995,
            seed=seed,
        )
        patches = CasePatches(backbone_until=2.0, synthetic_fraction=0.0)
        chosen: list[Sample] = [_AtBackboneResolution(sample.packed, sample.name) for sample in others[:count]]
        weights = train_on_cases(network, chosen, None, folder, loop, patches=patches, device=options.device)
        network.load_state_dict(weights)
        rows = [
            {"case": sample.name, **dice} for sample, dice in zip(held_out, region_dice(network, held_out), strict=True)
        ]
        result.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    rows_read: list[dict] = json.loads(result.read_text(encoding="utf-8"))
    return rows_read


class _AtBackboneResolution(Sample):
    """A sample that needs no downsampling."""

    def downsampled(self) -> Sample:
        return self


def interval(values: list[float], draws: int = 2000) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean."""
    rng = np.random.default_rng(0)
    means = [np.mean(rng.choice(values, len(values))) for _ in range(draws)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--schema", required=True)
    parser.add_argument("--start", dest="starts", action="append", required=True, metavar="NAME=WHAT")
    parser.add_argument("--out", "-o", type=Path, required=True)
    parser.add_argument("--counts", type=int, nargs="+", default=[5, 10, 15])
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    options.starts = [tuple(start.split("=", 1)) for start in options.starts]
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    samples = read_cases(options.cases, options.schema, options.out / "cases")
    found: dict[tuple[str, int], list[dict]] = {}
    for seed in range(options.seeds):
        for count in options.counts:
            for name, start in options.starts:
                rows = run(start, samples, count, seed, options)
                found.setdefault((name, count), []).extend(rows)
                print(f"seed {seed}, {count} cases, {name}: {mean(mean_dice(row) for row in rows):.3f}", flush=True)
    first = options.starts[0][0]
    print(f"| start | cases | ET | TC | WT | mean | 95 % interval | more than {first}, 95 % interval |")
    print("|---|---|---|---|---|---|---|---|")
    for (name, count), rows in found.items():
        values = [mean_dice(row) for row in rows]
        low, high = interval(values)
        regions = " | ".join(f"{mean(row[region] for row in rows):.3f}" for region in ("ET", "TC", "WT"))
        line = f"| {name} | {count} | {regions} | {mean(values):.3f} | {low:.3f} to {high:.3f} |"
        gains = [value - mean_dice(row) for value, row in zip(values, found[first, count], strict=True)]
        low, high = interval(gains)
        print(f"{line} {mean(gains):+.3f} ({low:+.3f} to {high:+.3f}) |")


def mean_dice(row: dict) -> float:
    """Return the mean over regions."""
    return mean(row[region] for region in ("ET", "TC", "WT"))


if __name__ == "__main__":
    main()
