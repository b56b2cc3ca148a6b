"""Fine-tune in rounds on a growing cohort, and compare every verdict with the change on cases not yet added.

python benchmarks/rounds.py CASES --schema brats-2022 --model magpie-s-synthetic -o RUNS [--sizes 5 10 15]
    [--orders 2] [--minutes 15 | --steps 100] [--anatomy HEADS]

For each order the cases are added in a random order; after each round the candidate and the model in use are scored
on the cases that are not in the cohort, and an accepted candidate is promoted. A site of its own is kept in RUNS.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from accuracy import reference_of

from magpie_core.app.finetune import FinetuneRequest, finetune
from magpie_core.cohort.cohort import Cohort
from magpie_core.evaluation.region_metrics import evaluate_case
from magpie_core.imaging.label_schema import label_schema
from magpie_core.inference.segment import segment_study
from magpie_core.io.discovery import read_study
from magpie_core.models.model import load_model
from magpie_core.models.registry import find_model, site_versions
from magpie_core.training.labeled_cases import list_cases


def main() -> None:
    """Print a line for each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--schema", required=True)
    parser.add_argument("--model", default="magpie-s-synthetic")
    parser.add_argument("--out", "-o", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[5, 10, 15])
    parser.add_argument("--orders", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--anatomy", type=Path)
    options = parser.parse_args()
    schema = label_schema(options.schema)
    cases = list_cases(options.cases)
    print("| order | cases | out of fold: change | verdict | on the others: before | after | change | SD |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for order in range(options.orders):
        folder = options.out / f"order{order}"
        os.environ["MAGPIE_SITE"] = str(folder / "site")
        shuffled = [cases[index] for index in np.random.default_rng(order).permutation(len(cases))]
        place = folder / "cohort"
        cohort = Cohort(place) if place.exists() else Cohort.create(place)
        for number, size in enumerate(options.sizes):
            for case in shuffled[len(cohort.cases()) : size]:
                cohort.add(read_study(case), reference_of(case, schema), patient=case.name)
            start = "" if site_versions().active else options.model
            before = find_model(start or None)
            done = finetune(
                FinetuneRequest(
                    cohort=place,
                    run=folder / f"run{number}",
                    model=start,
                    minutes=options.minutes,
                    steps=options.steps,
                    threads=options.threads,
                    anatomy=options.anatomy,
                )
            )
            others, known = shuffled[size:], folder / f"others{number}.json"
            if not known.exists():
                rows = {}
                for role, path in (("before", before), ("after", done.model)):
                    model = load_model(path)
                    rows[role] = {
                        case.name: mean(
                            scores["dice"]
                            for scores in evaluate_case(
                                segment_study(read_study(case), model).segmentation, reference_of(case, schema)
                            ).values()
                        )
                        for case in others
                    }
                known.write_text(json.dumps(rows, indent=1), encoding="utf-8")
            rows = json.loads(known.read_text(encoding="utf-8"))
            changes = [rows["after"][case.name] - rows["before"][case.name] for case in others]
            means = [mean(rows[role].values()) for role in ("before", "after")]
            print(
                f"| {order} | {size} | {done.gain or 0:+.3f} | {done.record['summary']['decision']} | {means[0]:.3f} "
                f"| {means[1]:.3f} | {mean(changes):+.3f} | {stdev(changes):.3f} |",
                flush=True,
            )
            if done.accepted:
                site_versions().promote(done.version, reason="accepted")


if __name__ == "__main__":
    main()
