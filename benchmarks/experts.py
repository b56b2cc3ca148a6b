"""Agreement of experts with regions: IoU of the best expert per region, over cases.

python benchmarks/experts.py CASES --schema brats-2022 --model MODEL [--model MODEL ...] [--held-out] [--json FILE]
    [--chosen FILE]

For each layer and region: one expert for all cases of a model and one threshold for all cases, chosen by their mean IoU
(so that nothing is chosen case by case), or those of an earlier run with the same model (--chosen, a file written by
--json). With it the IoU of that expert at the fixed threshold, the mean chance level and upper bound, the mutual
information in bits, and the paper's figure. Also the time and memory that capture and maps add to a segmentation, and
whether the prediction stays bit-identical.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np
from accuracy import pairs, reference_of

from magpie_core.experts.agreement import (
    FIXED_THRESHOLD,
    REGIONS,
    THRESHOLDS,
    agreement,
    iou_table,
    region_masks,
    tumor_box,
)
from magpie_core.experts.expert_maps import expert_maps, match_experts
from magpie_core.imaging.glioma import Region
from magpie_core.imaging.label_schema import label_schema
from magpie_core.inference.prediction import RoutingCapture
from magpie_core.inference.segment import segment_study
from magpie_core.io.discovery import read_study
from magpie_core.models.model import Model, load_model
from magpie_core.training.labeled_cases import list_cases

Place = tuple[int, str]  # layer and region
PAPER = {"ET": "0.47", "TC": "0.43", "ED": "0.54", "background": "0.64-0.77", "boundary": "-"}


def compare(one: Model, other: Model, cases: list[Path]) -> None:
    """Print, for each layer, the similarity of the matched experts of two models."""
    tables: dict[int, list[tuple[float, float, float]]] = {}
    for case in cases:
        captures = [RoutingCapture(), RoutingCapture()]
        for model, capture in zip((one, other), captures, strict=True):
            segment_study(read_study(case), model, capture=capture)
        for layer in range(len(captures[0].layers)):
            first, second = (expert_maps(capture, layer).values for capture in captures)
            tables.setdefault(layer, []).append(similarity(first, second))
    print("| layer | correlation of matched experts | of others | same dominant expert |\n|---|---|---|---|")
    for layer, rows in tables.items():
        matched, others, same = np.mean(rows, axis=0)
        print(f"| {layer} | {matched:.2f} | {others:.2f} | {100 * same:.0f} % |")


def similarity(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """Compare maps (E, I, J, K): correlation of matched experts and of others, fraction of the same dominant one."""
    second = second[match_experts(first, second)]
    brain = first.any(axis=0) & second.any(axis=0)
    values = [maps[:, brain] for maps in (first, second)]
    table = np.nan_to_num(np.corrcoef(np.concatenate(values).astype(np.float32)))[: len(first), len(first) :]
    others = table[~np.eye(len(first), dtype=bool)]
    same = values[0].argmax(axis=0) == values[1].argmax(axis=0)
    return float(np.diag(table).mean()), float(others.mean()), float(same.mean())


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--schema", required=True)
    parser.add_argument("--model", type=Path, action="append", required=True)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--chosen", type=Path, help="file of experts and thresholds to use")
    parser.add_argument("--compare", type=Path, help="another model; only compare its experts on the first five cases")
    options = parser.parse_args()
    if options.compare:
        compare(load_model(options.model[0]), load_model(options.compare), list_cases(options.cases)[:5])
        return
    models = [load_model(folder) for folder in options.model]
    chosen = json.loads(options.chosen.read_text(encoding="utf-8")) if options.chosen else []
    tables: dict[Place, dict[str, list[np.ndarray]]] = {}
    beside: dict[Place, list[tuple[float, float, float]]] = {}
    plain_s, captured_s, same = 0.0, 0.0, True
    scored = list(pairs(models, list_cases(options.cases), options.held_out))
    memory_mb: list[float] = []
    for model, case in scored:
        study, reference = read_study(case), reference_of(case, label_schema(options.schema))
        start = time.perf_counter()
        plain = segment_study(study, model)
        plain_s += time.perf_counter() - start
        memory_mb.append(peak_mb())
        capture = RoutingCapture()
        start = time.perf_counter()
        captured = segment_study(study, model, capture=capture)
        captured_s += time.perf_counter() - start
        same &= bool(np.array_equal(plain.probabilities, captured.probabilities))
        for layer in range(len(capture.layers)):
            maps = expert_maps(capture, layer)
            brain = maps.values.any(axis=0)
            masks = region_masks(reference, brain, maps.geometry.spacing_mm)
            box = tumor_box(reference.mask(Region.WT), maps.geometry.spacing_mm)
            assert box is not None
            values = maps.values[(slice(None), *box)][:, brain[box]]
            for region, mask in masks.items():
                if mask[box].any():
                    table = iou_table(values, mask[box][brain[box]], THRESHOLDS)
                    tables.setdefault((layer, region), {}).setdefault(model.hash, []).append(table)
            for row in agreement(maps, reference):
                if row.where == "box":
                    beside.setdefault((layer, row.region), []).append(
                        (row.chance_level, row.upper_bound, row.mutual_information_bits)
                    )
        memory_mb.append(peak_mb())
        print(case.name, flush=True)
    rows = []
    for (layer, region), found in sorted(tables.items(), key=lambda item: (REGIONS.index(item[0][1]), item[0][0])):
        known = [row for row in chosen if (row["layer"], row["region"]) == (layer, region)]
        experts, step = (known[0]["experts"], THRESHOLDS.index(known[0]["threshold"])) if known else choose(found)
        own = [table[experts[model]] for model, cases in found.items() for table in cases if model in experts]
        chance_level, upper_bound, mutual_information_bits = np.mean(beside[layer, region], axis=0)
        rows.append(
            {
                "region": region,
                "layer": layer,
                "cases": len(own),
                "experts": experts,
                "threshold": THRESHOLDS[step],
                "iou": float(np.mean(own, axis=0)[step]),
                "iou_at_fixed_threshold": float(np.mean(own, axis=0)[THRESHOLDS.index(FIXED_THRESHOLD)]),
                "chance_level": float(chance_level),
                "upper_bound": float(upper_bound),
                "mutual_information_bits": float(mutual_information_bits),
                "paper": PAPER[region],
            }
        )
    print(
        "\n| region | layer | experts | threshold | IoU in box | at 0.25 | chance level | upper bound | bits | paper |"
    )
    print("|---" * 10 + "|")
    for row in rows:
        numbers = ", ".join(str(expert + 1) for expert in row["experts"].values())
        print(
            f"| {row['region']} | {row['layer']} | {numbers} | {row['threshold']:.2f} | {row['iou']:.2f} "
            f"| {row['iou_at_fixed_threshold']:.2f} | {row['chance_level']:.2f} | {row['upper_bound']:.2f} "
            f"| {row['mutual_information_bits']:.3f} "
            f"| {row['paper']} |"
        )
    print(
        f"\n{len(scored)} cases; capture adds {100 * (captured_s / plain_s - 1):.1f} % time; capture and maps of the "
        f"first case add {memory_mb[1] - memory_mb[0]:.0f} MB to the peak of {memory_mb[0]:.0f} MB; "
        f"predictions bit-identical: {'yes' if same else 'NO'}"
    )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def choose(tables: dict[str, list[np.ndarray]]) -> tuple[dict[str, int], int]:
    """Choose an expert for each model and one threshold for all, by the mean IoU over all cases."""
    means = {model: np.mean(cases, axis=0) for model, cases in tables.items()}
    weights = {model: len(cases) for model, cases in tables.items()}
    step = int(np.argmax(sum(weights[model] * mean.max(axis=0) for model, mean in means.items())))
    return {model: int(mean[:, step].argmax()) for model, mean in means.items()}, step


def peak_mb() -> float:
    """Return the peak memory of this process, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
