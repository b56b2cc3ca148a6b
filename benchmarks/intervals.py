"""Thresholds between whose volumes nine in ten true volumes lie, and how well they hold for cases left out.

python benchmarks/intervals.py CASES --schema brats-2022 --model MODEL [--model MODEL ...] [--held-out] [--json FILE]

The thresholds are the pair with the narrowest intervals, on average over cases in logarithms, that holds for 90 %; for
the coverage they are chosen without the case that is judged.
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path

import numpy as np
from accuracy import pairs, truth_of

from magpie_core.imaging.label_schema import label_schema
from magpie_core.inference.segment import segment_study
from magpie_core.inference.volume_interval import REGIONS
from magpie_core.io.discovery import read_study
from magpie_core.models.model import load_model
from magpie_core.training.labeled_cases import list_cases

GRID = (0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
COVERED = 0.9
LEAST_ML = 0.1  # in logarithms, nothing is as much as this


def main() -> None:
    """Print a row for each region."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", type=Path)
    parser.add_argument("--schema", required=True)
    parser.add_argument("--model", type=Path, action="append", required=True)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for model, case in pairs(
        [load_model(path) for path in options.model], list_cases(options.cases), options.held_out
    ):
        prediction = segment_study(read_study(case), model)
        truth = truth_of(case, label_schema(options.schema))
        ml = truth.geometry.voxel_volume_ml
        rows.append(
            {
                "case": case.name,
                "found": [prediction.segmentation.volume_ml(region) for region in REGIONS],
                "true": [truth.volume_ml(region) for region in REGIONS],
                "above": [
                    [float(np.count_nonzero(field > threshold)) * ml for threshold in GRID]
                    for field in prediction.probabilities
                ],
            }
        )
        print(case.name, flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows), encoding="utf-8")
    print(
        "\n| region | stricter, laxer threshold | holds for | left out | median width, share of the volume |"
    )
    print("|---|---|---|---|---|")
    for index, region in enumerate(REGIONS):
        found, true = (np.array([row[key][index] for row in rows]) for key in ("found", "true"))
        above = np.array([row["above"][index] for row in rows])
        strict, lax = choose(found, true, above)
        held = covered(found, true, above, strict, lax)
        apart = []
        for left in range(len(rows)):
            kept = np.arange(len(rows)) != left
            pair = choose(found[kept], true[kept], above[kept])
            apart.append(bool(covered(found, true, above, *pair)[left]))
        low, high = ends(found, above, strict, lax)
        some = true > 0
        width = np.median((high - low)[some] / true[some])
        print(
            f"| {region.value} | {GRID[strict]:g} {GRID[lax]:g} | {held.sum()} of {len(held)} "
            f"| {sum(apart)} of {len(apart)} | {width:.2f} |"
        )


def choose(found: np.ndarray, true: np.ndarray, above: np.ndarray) -> tuple[int, int]:
    """The pair of thresholds with the narrowest intervals that hold often enough; the widest if none does."""
    best, narrowest = (len(GRID) - 1, 0), np.inf
    for strict, lax in product(range(len(GRID)), repeat=2):
        if lax >= strict or covered(found, true, above, strict, lax).mean() < COVERED:
            continue
        low, high = ends(found, above, strict, lax)
        width = float(np.mean(np.log(np.maximum(high, LEAST_ML) / np.maximum(low, LEAST_ML))))
        if width < narrowest:
            best, narrowest = (strict, lax), width
    return best


def ends(found: np.ndarray, above: np.ndarray, strict: int, lax: int) -> tuple[np.ndarray, np.ndarray]:
    return np.minimum(above[:, strict], found), np.maximum(above[:, lax], found)


def covered(found: np.ndarray, true: np.ndarray, above: np.ndarray, strict: int, lax: int) -> np.ndarray:
    low, high = ends(found, above, strict, lax)
    return (low <= true) & (true <= high)


if __name__ == "__main__":
    main()
