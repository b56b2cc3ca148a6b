"""Measure what corrected output is worth as labels, beside the labels of experts.

python benchmarks/simulated_reader.py CASES --schema brats-2022 --model magpie-s-synthetic -o RUNS [--minutes 90]
    [--count 20] [--budget 0.7] [--anatomy HEADS]

A simulated reader corrects the model's own proposal of each case: the largest errors first, until the stated part of
the wrong volume is corrected; errors at borders that are a voxel thin are left, and every fifth stroke is overdrawn.
The model is fine-tuned on the reader's labels and on the experts', and both candidates are scored out of fold against
the experts' labels; the acceptance test sees the reader's.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean

import numpy as np
from accuracy import reference_of
from scipy import ndimage

from magpie_core.app.finetune import FinetuneRequest, finetune
from magpie_core.cohort.cohort import Cohort
from magpie_core.evaluation.region_metrics import evaluate_case
from magpie_core.imaging.label_schema import SCHEMAS, label_schema
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.inference.segment import segment_study
from magpie_core.io.discovery import read_study
from magpie_core.io.segmentation_file import read_segmentation
from magpie_core.models.model import load_model
from magpie_core.models.registry import find_model
from magpie_core.training.labeled_cases import list_cases

OVERDRAWN = 0.2
LEAST_VOXELS = 20  # a stroke


def corrected(proposal: np.ndarray, reference: np.ndarray, budget: float, rng: np.random.Generator) -> np.ndarray:
    """Return a proposal as the reader leaves it; labels of one schema on one grid.

    Args:
        budget: Part of the wrong voxels that the reader corrects at most, 0 to 1.
    """
    result = proposal.copy()
    wrong = proposal != reference
    left = budget * np.count_nonzero(wrong)
    # What an opening removes is a border that is a voxel thin.
    strokes, count = ndimage.label(ndimage.binary_opening(wrong, ndimage.generate_binary_structure(3, 1)))
    sizes = ndimage.sum_labels(wrong, strokes, range(1, count + 1))
    for number in np.argsort(-sizes) + 1:
        if sizes[number - 1] < LEAST_VOXELS or left <= 0:
            break
        stroke = strokes == number
        left -= sizes[number - 1]
        result[stroke] = reference[stroke]
        if rng.random() < OVERDRAWN:
            rim = ndimage.binary_dilation(stroke) & ~stroke
            values, counts = np.unique(reference[stroke], return_counts=True)
            result[rim] = values[counts.argmax()]
    return result


def cohorts(options: argparse.Namespace, folder: Path) -> dict[str, Cohort]:
    """Return a cohort with the reader's labels and one with the experts', of the same cases; made where missing."""
    places = {name: folder / name for name in ("reader", "experts")}
    if all((place / "complete").exists() for place in places.values()):
        return {name: Cohort(place) for name, place in places.items()}
    made = {name: Cohort.create(place) for name, place in places.items()}
    model, schema = load_model(find_model(options.model)), SCHEMAS["magpie"]
    rng = np.random.default_rng(0)
    print("| case | wrong before, ml | wrong after, ml |\n|---|---|---|")
    for case in list_cases(options.cases)[: options.count]:
        study, reference = read_study(case), reference_of(case, label_schema(options.schema))
        wanted = reference.schema.convert(reference.labels, schema)
        voxel_ml = abs(np.linalg.det(reference.affine[:3, :3])) / 1000
        proposal = segment_study(study, model).segmentation
        before = proposal.schema.convert(proposal.labels, schema)
        after = corrected(before, wanted, options.budget, rng)
        wrong = [np.count_nonzero(labels != wanted) * voxel_ml for labels in (before, after)]
        print(f"| {case.name} | {wrong[0]:.1f} | {wrong[1]:.1f} |", flush=True)
        for name, labels in (("reader", after), ("experts", wanted)):
            segmentation = Segmentation(labels.astype(np.uint8), reference.affine, schema)
            made[name].add(study, segmentation, patient=case.name, proposal=proposal)
    for place in places.values():
        (place / "complete").touch()
    return made


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--schema", required=True)
    parser.add_argument("--model", default="magpie-s-synthetic")
    parser.add_argument("--out", "-o", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=90.0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--budget", type=float, default=0.7)
    parser.add_argument("--anatomy", type=Path)
    options = parser.parse_args()
    found = cohorts(options, options.out)
    reference = {case.patient: read_segmentation(case.labels) for case in found["experts"].cases()}
    print("\n| labels | Dice before | Dice after, against the experts | as the acceptance test saw it | verdict |")
    print("|---|---|---|---|---|")
    for name, cohort in found.items():
        request = FinetuneRequest(
            cohort=cohort.folder,
            run=options.out / f"run-{name}",
            model=options.model,
            name=f"{name}-{options.out.name}",
            minutes=options.minutes,
            steps=options.steps,
            anatomy=options.anatomy,
        )
        done = finetune(request)
        scores = {}
        for role in ("current", "candidate"):
            evidence = done.model.parent / "evidence"
            rows = [
                evaluate_case(read_segmentation(evidence / f"{case.name}_{role}.nii.gz"), reference[case.patient])
                for case in cohort.cases()
            ]
            scores[role] = mean(row[region]["dice"] for row in rows for region in row)
        seen = f"{done.gain:+.3f}" if done.gain is not None else ""
        print(f"| {name} | {scores['current']:.3f} | {scores['candidate']:.3f} | {seen} | {done.sentences[0]} |")


if __name__ == "__main__":
    main()
