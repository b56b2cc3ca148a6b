"""Measure what a few corrected cases are worth: fine-tune on a few, score on all others.

python benchmarks/few_cases.py CASES --schema brats-2022 --model magpie-s-synthetic -o RUNS [--count 5] [--draws 3]
    [--minutes 15] [--anatomy HEADS]

Each draw fine-tunes a model as `magpie finetune` does (synthetic studies, weight interpolation) and scores it on the
cases that were not drawn, beside the starting model. An interrupted run is resumed in RUNS.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from accuracy import reference_of

from magpie_core.evaluation.region_metrics import evaluate_case
from magpie_core.imaging.label_schema import label_schema
from magpie_core.inference.segment import segment_study
from magpie_core.io.discovery import read_study
from magpie_core.models.model import Model, load_model, save_model
from magpie_core.models.registry import find_model
from magpie_core.training.finetuning.options import FinetuneOptions
from magpie_core.training.fixed_synthetic_set import FixedSyntheticSet
from magpie_core.training.labeled_cases import CaseReader, list_cases
from magpie_core.training.segmentation_training import interpolate_weights, train_on_cases

REGIONS = ("ET", "TC", "WT")


def score(model: Model, cases: Iterable[Path], schema: str) -> dict[str, dict[str, float]]:
    """Compute Dice by case and region."""
    table = {}
    for case in cases:
        found = segment_study(read_study(case), model).segmentation
        scores = evaluate_case(found, reference_of(case, label_schema(schema)))
        table[case.name] = {region: scores[region]["dice"] for region in REGIONS}
    return table


def main() -> None:
    """Print a line for each draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--schema", required=True)
    parser.add_argument("--model", default="magpie-s-synthetic")
    parser.add_argument("--out", "-o", type=Path, required=True)
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--anatomy", type=Path)
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    start = load_model(find_model(options.model))
    cases = list_cases(options.cases)
    finetuning = FinetuneOptions()
    synthetic_set = FixedSyntheticSet(
        options.out / "synthetic",
        finetuning.synthetic_studies,
        spacing_mm=start.description.spacing_mm * start.network.config.backbone_stride,
        anatomy=options.anatomy,
    )
    synthetic_set.fill()
    known = options.out / "start.json"
    if not known.exists():
        known.write_text(json.dumps(score(start, cases, options.schema), indent=1), encoding="utf-8")
    before = json.loads(known.read_text(encoding="utf-8"))
    print(f"| draw | training cases | gain, mean of regions | {' | '.join(REGIONS)} |")
    print("|---|---|---|---|---|---|")
    gains = []
    for draw in range(options.draws):
        chosen = np.random.default_rng(draw).permutation(len(cases))[: options.count]
        folder = options.out / f"draw{draw}"
        if not (folder / "model").exists():
            reader = CaseReader(options.schema, spacing_mm=start.description.spacing_mm)
            samples = [reader.read(cases[index]) for index in chosen]
            loop = replace(finetuning.loop, budget_minutes=options.minutes, seed=draw)
            network = load_model(start.folder).network
            weights = train_on_cases(network, samples, synthetic_set, folder, loop, patches=finetuning.patches)
            weights = interpolate_weights(weights, start.network.state_dict(), finetuning.interpolation)
            save_model(folder / "model", replace(start.description, name=f"draw{draw}"), weights, card="# draw\n")
        others = [case for index, case in enumerate(cases) if index not in chosen]
        after = score(load_model(folder / "model"), others, options.schema)
        by_region = [
            mean(after[case.name][region] - before[case.name][region] for case in others) for region in REGIONS
        ]
        gains.append(by_region)
        names = ", ".join(cases[index].name for index in chosen)
        print(f"| {draw} | {names} | {mean(by_region):+.3f} | {' | '.join(f'{gain:+.3f}' for gain in by_region)} |")
    overall = np.mean(gains, axis=0)
    print(f"| mean | | {overall.mean():+.3f} | {' | '.join(f'{gain:+.3f}' for gain in overall)} |")


if __name__ == "__main__":
    main()
