"""Do the experts go with regions? IoU of the best expert per region, over cases.

python benchmarks/experts.py CASES --schema brats-2022 --model MODEL [--model MODEL ...] [--held-out] [--json FILE]

For each layer and each region: one expert and one threshold for all cases, chosen by their mean IoU (so that nothing is
chosen case by case), beside the mean of the control, the ceiling, and the paper's figure. Also the time that capture
adds to a segmentation, and whether a bit of the prediction changes.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from accuracy import pairs, truth_of

from magpie_core.experts.agreement import REGIONS, STATED_THRESHOLD, THRESHOLDS, agreement, region_masks
from magpie_core.experts.expert_maps import FULL, expert_maps
from magpie_core.experts.stability import stability
from magpie_core.inference.routing_capture import RoutingCapture
from magpie_core.inference.segment import segment_study
from magpie_core.models.model import Model, load_model
from magpie_core.study.discovery import read_study
from magpie_core.study.label_schema import Region, label_schema
from magpie_core.training.cases import list_cases

PAPER = {"ET": "0.47", "TC": "0.43", "ED": "0.54", "background": "0.64-0.77", "boundary": "-"}
BOX_MARGIN_VOXELS = 15


def iou_table(maps: np.ndarray, target: np.ndarray) -> np.ndarray:
    """IoU (E, thresholds) of maps (E, N) uint8 with a mask (N,)."""
    table = np.zeros((len(maps), len(THRESHOLDS)))
    for expert, row in enumerate(maps):
        for step, threshold in enumerate(THRESHOLDS):
            found = row >= threshold * FULL
            union = np.count_nonzero(found | target)
            table[expert, step] = np.count_nonzero(found & target) / union if union else 0.0
    return table


def compare(one: Model, other: Model, cases: list[Path]) -> None:
    """Print, for each layer, how alike the matched experts of two models are."""
    tables: dict[int, list[list[float]]] = {}
    for case in cases:
        captures = [RoutingCapture(), RoutingCapture()]
        for model, capture in zip((one, other), captures, strict=True):
            segment_study(read_study(case), model, capture=capture)
        for layer in range(len(captures[0].layers)):
            found = stability(*(expert_maps(capture, layer) for capture in captures))
            row = [float(np.mean(found.correlations)), found.by_chance, found.same_dominant]
            tables.setdefault(layer, []).append(row)
    print(
        "| layer | correlation of matched experts | of others | same expert asked most |\n|---|---|---|---|"
    )
    for layer, rows in tables.items():
        matched, chance, same = np.mean(rows, axis=0)
        print(f"| {layer} | {matched:.2f} | {chance:.2f} | {100 * same:.0f} % |")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", type=Path)
    parser.add_argument("--schema", required=True)
    parser.add_argument("--model", type=Path, action="append", required=True)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--compare", type=Path, help="another model: are its experts the same? On these cases, nothing else."
    )
    options = parser.parse_args()
    if options.compare:
        compare(load_model(options.model[0]), load_model(options.compare), list_cases(options.cases)[:5])
        return
    models = [load_model(folder) for folder in options.model]
    tables: dict[tuple[int, str], list[np.ndarray]] = {}
    controls: dict[tuple[int, str], list[float]] = {}
    ceilings: dict[tuple[int, str], list[float]] = {}
    plain_s, captured_s, same = 0.0, 0.0, True
    scored = list(pairs(models, list_cases(options.cases), options.held_out))
    for model, case in scored:
        study, truth = read_study(case), truth_of(case, label_schema(options.schema))
        start = time.perf_counter()
        plain = segment_study(study, model)
        plain_s += time.perf_counter() - start
        capture = RoutingCapture()
        start = time.perf_counter()
        seen = segment_study(study, model, capture=capture)
        captured_s += time.perf_counter() - start
        same &= bool(np.array_equal(plain.probabilities, seen.probabilities))
        for layer in range(len(capture.layers)):
            maps = expert_maps(capture, layer)
            brain = maps.values.any(axis=0)
            masks = region_masks(truth, brain, maps.geometry.spacing_mm)
            places = np.argwhere(truth.mask(Region.WT))
            low = np.maximum(places.min(axis=0) - BOX_MARGIN_VOXELS, 0)
            high = places.max(axis=0) + BOX_MARGIN_VOXELS + 1
            box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
            inside = brain[box]
            crop = (slice(None), *box)
            values = maps.values[crop][:, inside]
            for region, mask in masks.items():
                if mask[box].any():
                    tables.setdefault((layer, region), []).append(iou_table(values, mask[box][inside]))
            for row in agreement(maps, truth):
                if row.where == "box":
                    controls.setdefault((layer, row.region), []).append(row.control)
                    ceilings.setdefault((layer, row.region), []).append(row.ceiling)
        print(case.name, flush=True)
    rows = []
    for (layer, region), found in sorted(
        tables.items(), key=lambda item: (REGIONS.index(item[0][1]), item[0][0])
    ):
        mean = np.mean(found, axis=0)
        expert, step = np.unravel_index(int(mean.argmax()), mean.shape)
        stated = THRESHOLDS.index(STATED_THRESHOLD)
        rows.append(
            {
                "region": region,
                "layer": layer,
                "cases": len(found),
                "expert": int(expert) + 1,
                "threshold": THRESHOLDS[step],
                "iou": float(mean[expert, step]),
                "iou_stated": float(mean[:, stated].max()),
                "control": float(np.mean(controls[layer, region])),
                "ceiling": float(np.mean(ceilings[layer, region])),
                "paper": PAPER[region],
            }
        )
    print("\n| region | layer | expert | threshold | IoU in the box | at 0.25 | control | ceiling | paper |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['region']} | {row['layer']} | {row['expert']} | {row['threshold']:.2f} | {row['iou']:.2f} "
            f"| {row['iou_stated']:.2f} | {row['control']:.2f} | {row['ceiling']:.2f} | {row['paper']} |"
        )
    print(
        f"\n{len(scored)} cases; capture adds {100 * (captured_s / plain_s - 1):.1f} % time; "
        f"predictions bit-identical: {'yes' if same else 'NO'}"
    )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
