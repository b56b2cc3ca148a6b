"""Simulate the acceptance test on differences of real candidates: how often it passes what is no better, and what is.

python benchmarks/gate.py SCORES.json [SCORES.json ...] [--draws 400] [--memory 0.05]

Each SCORES.json is the evidence of a fine-tuning (`scores.json`): Dice of the current model and of the candidate by
case and region. Their differences, without their mean, are resampled by case, in both directions. A cohort grows over
three rounds; in each a candidate that is no better is judged in three ways:

- lineages: each fold's candidate and "current" are weights that never saw the fold (what MAGPIE does);
- frozen set: a third of the patients are never trained on, and judge;
- as 0.5.0: from the second round on each fold starts from weights that saw its cases, and "current" is what was
  measured out of fold. What is remembered of a seen case is worth `--memory`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from magpie_core.training.finetuning.acceptance import run_acceptance_test

REGIONS = ("ET", "TC", "WT")
PATIENTS = (3, 5, 8, 20)
ROUNDS = 3


def differences(files: list[Path]) -> np.ndarray:
    """Dice changes without their mean, candidates one below the other and with both signs, (N, 3)."""
    found = []
    for file in files:
        scores = json.loads(file.read_text(encoding="utf-8"))
        rows = [
            [scores["candidate"][case][region] - scores["current"][case][region] for region in REGIONS]
            for case in sorted(scores["current"])
        ]
        found.append(np.array(rows) - np.mean(rows, axis=0))
    together = np.concatenate(found)
    return np.concatenate([together, -together])


def passes(change: np.ndarray) -> bool:
    """Whether the acceptance test passes a candidate with these changes (patients, 3)."""
    base = 0.5 + np.zeros_like(change)
    current, candidate = (
        {f"c{number}": dict(zip(REGIONS, row, strict=True)) for number, row in enumerate(rows.tolist())}
        for rows in (base, base + change)
    )
    return run_acceptance_test(current, candidate, patients={case: case for case in current}).accepted


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scores", type=Path, nargs="+")
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--memory", type=float, default=0.05)
    options = parser.parse_args()
    pool = differences(options.scores)
    spread = pool.mean(axis=1).std()
    counts = f"{len(options.scores)} candidates, {len(pool) // 2} differences"
    print(f"{counts}; standard deviation of a case's mean {spread:.3f}")
    rng = np.random.default_rng(0)
    print("\nPassed of candidates that are no better, % (2.5 is due)\n")
    print("| patients in round 1, 2, 3 | round | lineages | frozen set | as 0.5.0 |\n|---|---|---|---|---|")
    for count in PATIENTS:
        sizes = [count * number for number in range(1, ROUNDS + 1)]
        for number, size in enumerate(sizes):
            passed = np.zeros(3)
            for _ in range(options.draws):
                change = pool[rng.integers(len(pool), size=size)]
                remembered = change.copy()
                remembered[: sizes[number - 1] if number else 0] += options.memory
                passed += [passes(change), passes(change[: max(1, size // 3)]), passes(remembered)]
            rates = " | ".join(f"{rate:.1f}" for rate in 100 * passed / options.draws)
            print(f"| {', '.join(map(str, sizes))} | {number + 1} | {rates} |")
    print("\nPassed of candidates that are 3 points better (standard deviation of a case's mean 4 points), %\n")
    print("| patients | lineages | frozen set |\n|---|---|---|")
    scaled = pool * 0.04 / spread
    for count in PATIENTS:
        passed = np.zeros(2)
        for _ in range(options.draws):
            change = scaled[rng.integers(len(scaled), size=count)] + 0.03
            passed += [passes(change), passes(change[: max(1, count // 3)])]
        print(f"| {count} | {' | '.join(f'{rate:.1f}' for rate in 100 * passed / options.draws)} |")


if __name__ == "__main__":
    main()
