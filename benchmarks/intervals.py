"""Pairs of thresholds whose volumes enclose nine in ten reference volumes, with leave-one-out coverage.

python benchmarks/intervals.py CASES --schema brats-2022 --model MODEL [--model MODEL ...] [--held-out] [--json FILE]

The pair is the one with the narrowest intervals, in the mean of the logarithms, that covers 90 % of the cases; for the
leave-one-out coverage it is chosen without the case that is scored.
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path

import numpy as np
from accuracy import pairs, reference_of

from magpie_core.imaging.glioma import Region
from magpie_core.imaging.label_schema import label_schema
from magpie_core.inference.segment import segment_study
from magpie_core.io.discovery import read_study
from magpie_core.models.model import load_model
from magpie_core.training.labeled_cases import list_cases

GRID = (0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
COVERED = 0.9
MINIMUM_ML = 0.1  # smaller volumes are set to this in logarithms


def main() -> None:
    """Print a row for each region."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--schema", required=True)
    parser.add_argument("--model", type=Path, action="append", required=True)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for model, case in pairs([load_model(path) for path in options.model], list_cases(options.cases), options.held_out):
        prediction = segment_study(read_study(case), model)
        reference = reference_of(case, label_schema(options.schema))
        ml = reference.geometry.voxel_volume_ml
        rows.append(
            {
                "case": case.name,
                "found": [prediction.segmentation.volume_ml(region) for region in Region],
                "true": [reference.volume_ml(region) for region in Region],
                "above": [
                    [float(np.count_nonzero(field > threshold)) * ml for threshold in GRID]
                    for field in prediction.probabilities
                ],
            }
        )
        print(case.name, flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows), encoding="utf-8")
    print("\n| region | higher, lower threshold | coverage | leave-one-out | median width / volume |")
    print("|---|---|---|---|---|")
    for index, region in enumerate(Region):
        found, true = (np.array([row[key][index] for row in rows]) for key in ("found", "true"))
        above = np.array([row["above"][index] for row in rows])
        higher, lower = choose(found, true, above)
        held = covered(found, true, above, higher, lower)
        apart = []
        for left in range(len(rows)):
            kept = np.arange(len(rows)) != left
            pair = choose(found[kept], true[kept], above[kept])
            apart.append(bool(covered(found, true, above, *pair)[left]))
        low, high = ends(found, above, higher, lower)
        some = true > 0
        width = np.median((high - low)[some] / true[some])
        print(
            f"| {region.value} | {GRID[higher]:g} {GRID[lower]:g} | {held.sum()} of {len(held)} "
            f"| {sum(apart)} of {len(apart)} | {width:.2f} |"
        )


def choose(found: np.ndarray, true: np.ndarray, above: np.ndarray) -> tuple[int, int]:
    """Choose the thresholds with the narrowest intervals of sufficient coverage; the widest if there are none."""
    best, narrowest = (len(GRID) - 1, 0), np.inf
    for higher, lower in product(range(len(GRID)), repeat=2):
        if lower >= higher or covered(found, true, above, higher, lower).mean() < COVERED:
            continue
        low, high = ends(found, above, higher, lower)
        width = float(np.mean(np.log(np.maximum(high, MINIMUM_ML) / np.maximum(low, MINIMUM_ML))))
        if width < narrowest:
            best, narrowest = (higher, lower), width
    return best


def ends(found: np.ndarray, above: np.ndarray, higher: int, lower: int) -> tuple[np.ndarray, np.ndarray]:
    return np.minimum(above[:, higher], found), np.maximum(above[:, lower], found)


def covered(found: np.ndarray, true: np.ndarray, above: np.ndarray, higher: int, lower: int) -> np.ndarray:
    low, high = ends(found, above, higher, lower)
    return (low <= true) & (true <= high)


if __name__ == "__main__":
    main()
