"""Are wrongly declared modalities noticed? Each of the 6 exchanges of two modalities, and false alarms.

python benchmarks/modality_swap.py [CASES ...] [--synthetic FOLDER] [--fit FILE]

CASES are folders of skull-stripped studies with all four modalities; --synthetic is a folder of packed studies, as
`magpie train synthetic` leaves it: the first hundred are scored. --fit fits the rules to its other studies and writes
them (magpie_core/preprocessing/modality_swap.json).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from magpie_core.imaging.geometry import Geometry
from magpie_core.imaging.modality import GLIOMA_MODALITIES
from magpie_core.io.discovery import read_study
from magpie_core.preprocessing.modality_swap import Weights, check_modality_swap, default_weights, pair_features
from magpie_core.preprocessing.model_grid import ModelGridStudy, resample_to_model_grid
from magpie_core.training.sample import Sample

KEPT_APART = 100
PENALTY = 0.03


def synthetic(path: Path) -> ModelGridStudy:
    """A packed synthetic study of 2 mm."""
    sample = Sample(np.load(path, mmap_mode="r"))
    images = sample.patch((0, 0, 0), sample.shape).images.numpy()
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    return ModelGridStudy(images, GLIOMA_MODALITIES, (images != 0).any(axis=0), affine, Geometry(sample.shape, affine))


def real(folder: Path) -> list[ModelGridStudy]:
    """Studies below a folder that have all four modalities."""
    studies = []
    for case in sorted(path for path in folder.iterdir() if path.is_dir()):
        grid = resample_to_model_grid(read_study(case))
        order = [grid.modalities.index(modality) for modality in GLIOMA_MODALITIES]
        studies.append(replace(grid, images=grid.images[order], modalities=GLIOMA_MODALITIES))
    return studies


def fit(studies: list[ModelGridStudy]) -> dict:
    """A logistic rule for each pair, without a constant: exchanged images give the negative."""
    rows = [features for features in map(pair_features, studies) if features]
    rules = {}
    for pair in combinations(GLIOMA_MODALITIES, 2):
        table = np.array([row[pair] for row in rows])
        scale = np.sqrt((table**2).mean(axis=0)) + 1e-6
        table = table / scale

        def loss(weights: np.ndarray, table: np.ndarray = table) -> tuple[float, np.ndarray]:
            odds = table @ weights
            slope = -(table / (1 + np.exp(odds))[:, None]).mean(axis=0) + 2 * PENALTY * weights
            return float(np.logaddexp(0, -odds).mean() + PENALTY * weights @ weights), slope

        rules[pair] = minimize(loss, np.zeros(table.shape[1]), jac=True, method="L-BFGS-B").x / scale
    return rules


def report(title: str, studies: list[ModelGridStudy], rules: Weights) -> None:
    """One line: false alarms, and how often each exchange is noticed."""
    alarms = sum(check_modality_swap(study, rules) is not None for study in studies)
    cells = [f"{alarms} of {len(studies)}"]
    for one, other in combinations(range(len(GLIOMA_MODALITIES)), 2):
        order = list(range(len(GLIOMA_MODALITIES)))
        order[one], order[other] = other, one
        exchanged = [replace(study, images=study.images[order]) for study in studies]
        cells.append(f"{np.mean([check_modality_swap(study, rules) is not None for study in exchanged]):.0%}")
    print(f"| {title} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, nargs="*")
    parser.add_argument("--synthetic", type=Path)
    parser.add_argument("--fit", type=Path)
    options = parser.parse_args()
    studies = sorted(options.synthetic.glob("slot_*.npy")) if options.synthetic else []
    rules: Weights = (
        default_weights() if options.fit is None else fit([synthetic(path) for path in studies[KEPT_APART:]])
    )
    if options.fit:
        rows = [
            {"first": one.value, "second": other.value, "weights": [round(float(value), 4) for value in weights]}
            for (one, other), weights in rules.items()
        ]
        made = {"made_by": "benchmarks/modality_swap.py --fit", "studies": len(studies) - KEPT_APART, "rules": rows}
        options.fit.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    names = [f"{one.value} / {other.value}" for one, other in combinations(GLIOMA_MODALITIES, 2)]
    print("| studies | false alarms | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 2) + "|")
    for folder in options.cases:
        report(folder.name, real(folder), rules)
    if studies:
        report("synthetic", [synthetic(path) for path in studies[:KEPT_APART]], rules)


if __name__ == "__main__":
    main()
