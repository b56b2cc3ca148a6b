"""Ablation of the generator's transforms: the same short training without each of them.

python benchmarks/synthesis_transforms.py CASES --schema brats-2022 --anatomy HEADS -o RUNS [--only NAME ...]
    [--studies 200] [--steps 500] [--seeds 1] [--network magpie-s]

Every variant generates its studies from the same seeds, trains a new network for the same number of steps, and is
scored on all real cases at the backbone's resolution (none of them is trained on). The interval is a 95 % bootstrap of
the difference from the training with all transforms, case by case. An interrupted run is resumed in RUNS.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean

import numpy as np
import torch
import yaml
from starting_weights import interval, mean_dice, read_cases

from magpie_core.networks.build import build_network
from magpie_core.networks.presets import preset
from magpie_core.preprocessing.intensities import scale_intensities
from magpie_core.synthesis.anatomy import Anatomy
from magpie_core.synthesis.config import GeneratorConfig
from magpie_core.synthesis.generator import GliomaGenerator
from magpie_core.training.loop_options import LoopOptions
from magpie_core.training.patch_sampling import SyntheticPatches, synthetic_batches
from magpie_core.training.sample import Sample
from magpie_core.training.segmentation_training import train
from magpie_core.training.validation import region_dice


def off(*transforms: str) -> dict:
    """Return a configuration with transforms switched off."""
    return {"transforms": {transform: {"probability": 0.0} for transform in transforms}}


VARIANTS = {
    "all transforms": {},
    "no random contrast": {"transforms": {"tissue_contrast": {"arbitrary": 0.0}}},
    "edema never like core": {"transforms": {"lesion_contrast": {"edema_like_core": 0.0}}},
    "no fading, no patches": off("fading", "opacity"),
    "no mimics": off(
        "white_matter_lesions",
        "vessels",
        "meninges",
        "choroid_plexus",
        "cyst",
        "residual_skull",
        "flow_artifacts",
        "stroke",
        "multiple_sclerosis",
    ),
    "no scanner artifacts": off(
        "bias_field",
        "thick_slices",
        "blur",
        "misregistration",
        "ghosting",
        "k_space_spike",
        "partial_field_of_view",
        "rician_noise",
        "gamma",
    ),
    "no mass effect": off("mass_effect"),
    "no deformation": off("elastic_deformation", "ventricle_change", "tissue_widths"),
    "no imperfect mask": off("imperfect_mask", "residual_skull"),
}


class FixedStudies:
    """Samples in memory."""

    def __init__(self, samples: list[Sample]) -> None:
        self.samples = samples

    def draw(self, random: np.random.Generator) -> Sample:
        """Draw one of them."""
        return self.samples[random.integers(len(self.samples))]


def studies(config: GeneratorConfig, options: argparse.Namespace, seed: int) -> list[Sample]:
    """Return the studies of a variant, two renderings of each geometry."""
    generator = GliomaGenerator(Anatomy.find(options.anatomy), config=config)
    samples = []
    for number in range(options.studies // 2):
        for study in generator.sample(seed * 100_000 + number, renderings=2):
            images = np.stack([scale_intensities(image, study.brain) for image in study.images])
            samples.append(Sample.pack(images, study.labels))
    return samples


def run(name: str, seed: int, cases: list[Sample], options: argparse.Namespace) -> list[dict]:
    """Train and score one variant."""
    folder = options.out / f"{name.replace(' ', '-').replace(',', '')}_{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    result = folder / "dice.json"
    if not result.exists():
        path = folder / "config.yaml"
        path.write_text(yaml.safe_dump(VARIANTS[name]), encoding="utf-8")
        source = FixedStudies(studies(GeneratorConfig.read(path), options, seed))
        torch.manual_seed(seed)
        network = build_network(preset(options.network))
        loop = LoopOptions(budget_steps=options.steps, warmup_steps=50, ema_decay=0.99, seed=seed)
        batches = synthetic_batches(source, SyntheticPatches(whole_brain_from=2.0), network, "cpu")
        network.load_state_dict(train(network, batches, folder, loop))
        rows = [{"case": case.name, **dice} for case, dice in zip(cases, region_dice(network, cases), strict=True)]
        result.write_text(json.dumps(rows, indent=1), encoding="utf-8")
        (folder / "checkpoint.pt").unlink(missing_ok=True)
    rows_read: list[dict] = json.loads(result.read_text(encoding="utf-8"))
    return rows_read


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--schema", required=True)
    parser.add_argument("--anatomy", type=Path, required=True)
    parser.add_argument("--out", "-o", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--network", default="magpie-s")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    cases = read_cases(options.cases, options.schema, options.out / "cases")
    table: dict[str, list[dict]] = {}
    for seed in range(options.seeds):
        for name in options.only:
            table.setdefault(name, []).extend(run(name, seed, cases, options))
            print(f"seed {seed}, {name}: {mean(map(mean_dice, table[name])):.3f}", flush=True)
    print("| studies | ET | TC | WT | mean | difference from all, 95 % CI |")
    print("|---|---|---|---|---|---|")
    base = [mean_dice(row) for row in table[options.only[0]]]
    for name, rows in table.items():
        regions = " | ".join(f"{mean(row[region] for row in rows):.3f}" for region in ("ET", "TC", "WT"))
        differences = [mean_dice(row) - whole for row, whole in zip(rows, base, strict=True)]
        low, high = interval(differences)
        print(
            f"| {name} | {regions} | {mean(map(mean_dice, rows)):.3f} "
            f"| {mean(differences):+.3f} ({low:+.3f} to {high:+.3f}) |"
        )


if __name__ == "__main__":
    main()
