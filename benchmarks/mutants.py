"""Mutation testing: the part of small faults, put into the code one at a time, that the tests notice.

    make mutants ARGS="--sample 300 --seed 0"

A random sample of mutants, spread over the packages as their mutants are (50 at least each), is run against the tests
that reach the changed function. It can be ended at any time, and goes on where it stopped. Mutants that change nothing
are listed with the reason in `benchmarks/figures/equivalent_mutants.tsv`; they do not count.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

from scipy.stats import binomtest

ROOT = Path(__file__).resolve().parents[1]
EQUIVALENT = ROOT / "benchmarks" / "figures" / "equivalent_mutants.tsv"
STRATA = {
    "networks": ("networks/*",),
    "losses": ("training/losses.py", "pretraining/pretraining_step.py"),
    "loop": ("training/loop.py", "training/train_state.py", "training/callbacks.py", "training/loop_options.py"),
    "gate": ("training/finetuning/acceptance.py", "training/finetuning/ancestry.py", "evaluation/paired_test.py"),
    "postprocessing": ("inference/postprocessing.py", "inference/sliding_window.py"),
    "geometry": (
        "imaging/geometry.py",
        "imaging/reorientation.py",
        "preprocessing/resampling.py",
        "preprocessing/model_grid.py",
    ),
    "series": ("series/*",),
}
TESTS = ("networks", "training", "pretraining/test_equations.py", "evaluation", "inference", "imaging", "preprocessing")
TESTS += ("series",)
LEAST = 50
KILLED = (1, 3, 24, -24, 36, 152, 255, -9, -11)  # failed, or ran for too long, or crashed
SETTINGS = """
[tool.mutmut]
source_paths = ["magpie_core"]
only_mutate = {files}
also_copy = ["Testing", "Resources", "MAGPIE.json", "CMakeLists.txt", "README.md", "docs", "benchmarks"]
pytest_add_cli_args = ["-p", "no:xdist", "-p", "no:cacheprovider", "-x"]
pytest_add_cli_args_test_selection = {tests}
"""


def main() -> None:
    """Draw the sample, run what is left of it, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "mutants", help="where the changed code is kept")
    parser.add_argument("--strata", nargs="+", choices=STRATA, default=list(STRATA))
    options = parser.parse_args()
    tree = options.work.resolve()
    _copy(tree)
    if not list(tree.glob("mutants/**/*.meta")):
        _mutmut(tree, ["none of them"], options.processes)  # makes them, and finds out which test reaches what
    results = _results(tree)
    chosen = _sample(results, options.strata, options.sample, random.Random(options.seed))
    left = [name for names in chosen.values() for name in names if results[name] is None]
    if left:
        _mutmut(tree, left, options.processes)
    _print(chosen, _results(tree))


def _copy(tree: Path) -> None:
    """Copy the files under version control; those of an earlier run are kept where they are the same."""
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listing.stdout.splitlines():
        source, target = ROOT / name, tree / name
        if source.is_file() and not (target.is_file() and target.read_bytes() == source.read_bytes()):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    files = [f"magpie_core/{pattern}" for patterns in STRATA.values() for pattern in patterns]
    settings = SETTINGS.format(files=json.dumps(files), tests=json.dumps([f"Testing/{name}" for name in TESTS]))
    (tree / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text(encoding="utf-8") + settings)


def _mutmut(tree: Path, names: list[str], processes: int) -> None:
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(processes), *names]
    subprocess.run(command, cwd=tree, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)


def _results(tree: Path) -> dict[str, int | None]:
    """Return the exit code of the tests by mutant; None where it was not run."""
    found: dict[str, int | None] = {}
    for path in sorted(tree.glob("mutants/**/*.meta")):
        found |= json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
    return found


def _sample(results: dict[str, int | None], strata: list[str], size: int, rng: random.Random) -> dict[str, list[str]]:
    equivalent = {line.split("\t")[0] for line in EQUIVALENT.read_text(encoding="utf-8").splitlines()[1:]}
    by_stratum: dict[str, list[str]] = {name: [] for name in strata}
    for mutant in sorted(results):
        file = mutant.removeprefix("magpie_core.").rsplit(".", 1)[0].replace(".", "/") + ".py"
        for name in strata:
            if any(fnmatch(file, pattern) for pattern in STRATA[name]):
                by_stratum[name].append(mutant)
    total = sum(map(len, by_stratum.values()))
    chosen = {}
    for name, mutants in by_stratum.items():
        wanted = max(LEAST, math.ceil(size * len(mutants) / total))
        drawn = rng.sample(mutants, min(wanted, len(mutants)))
        chosen[name] = [mutant for mutant in drawn if mutant not in equivalent]
    return chosen


def _print(chosen: dict[str, list[str]], results: dict[str, int | None]) -> None:
    print("\n| part | mutants | noticed | 95 % interval |\n|---|---|---|---|")
    rows = {**chosen, "all": [name for names in chosen.values() for name in names]}
    for part, names in rows.items():
        run = [name for name in names if results[name] is not None]
        noticed = sum(results[name] in KILLED for name in run)
        if run:
            interval = binomtest(noticed, len(run)).proportion_ci(method="wilson")
            print(f"| {part} | {len(run)} | {noticed / len(run):.0%} | {interval.low:.0%} to {interval.high:.0%} |")
    print("\nNot noticed:")
    print("\n".join(name for name in rows["all"] if results[name] not in KILLED and results[name] is not None))


if __name__ == "__main__":
    main()
