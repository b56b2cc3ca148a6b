"""Time and memory of `magpie segment` on a real study, from the start of the process to the files.

    python benchmarks/end_to_end.py [--cases FOLDER] [--threads N] [--runs N] [-- further options of segment]

The sample case is padded by its affine to 240 x 240 x 155 voxels, the size of the BraTS challenges, and
segmented in a process of its own. MAGPIE_CASES names the folder of cases.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

SHAPE = (240, 240, 155)
MAGPIE = [sys.executable, "-m", "magpie_core.cli"]
MODALITIES = ("t1", "t1c", "t2", "flair")


def pad(source: Path, target: Path) -> None:
    """Write an image with zeros around it, every voxel at its old place in the world."""
    image = nib.load(source)
    before = [(size - now) // 2 for size, now in zip(SHAPE, image.shape, strict=True)]
    if min(before) < 0:
        raise SystemExit(f"{source} is larger than {SHAPE}")
    around = [(low, size - now - low) for low, size, now in zip(before, SHAPE, image.shape, strict=True)]
    affine = image.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ before
    nib.save(nib.Nifti1Image(np.pad(np.asarray(image.dataobj), around), affine), target)


def run(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak resident memory (GiB) of a child process and its children."""
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    # wait4 gives the figures of this child; getrusage(RUSAGE_CHILDREN) would give the largest of all so far.
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(command)}\n{output}")
    kib = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return seconds, kib / 2**20


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, default=os.environ.get("MAGPIE_CASES"))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--runs", type=int, default=2)
    options, further = parser.parse_known_args()
    if options.cases is None:
        raise SystemExit("Say where the cases are: --cases FOLDER or MAGPIE_CASES")
    case = next(path for path in sorted((options.cases / "sample").iterdir()) if path.is_dir())
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / case.name
        study.mkdir()
        for name in MODALITIES:
            pad(case / f"{name}.nii.gz", study / f"{name}.nii.gz")
        print(f"{case.name}, {SHAPE[0]} x {SHAPE[1]} x {SHAPE[2]}, {options.threads} threads\n")
        print("| what | seconds | peak GiB |\n|---|---|---|")
        for label, command in (
            ("import magpie_core", [sys.executable, "-c", "import magpie_core"]),
            ("magpie --help", [*MAGPIE, "--help"]),
            ("magpie doctor", [*MAGPIE, "doctor"]),
        ):
            print("| {} | {:.2f} | {:.2f} |".format(label, *min(run(command) for _ in range(3))))
        for index in range(options.runs):
            out = Path(folder) / f"result-{index}"
            command = [*MAGPIE, "segment", str(study), "-o", str(out), "--threads", str(options.threads)]
            seconds, memory = run(command + [word for word in further if word != "--"])
            print(f"| **magpie segment**, run {index + 1} | **{seconds:.1f}** | **{memory:.2f}** |")
            report = json.loads((out / "report.json").read_text(encoding="utf-8"))
            for stage, value in report["seconds"].items():
                print(f"| ... {stage} | {value:.1f} | |")
            rest = seconds - sum(report["seconds"].values())
            print(f"| ... start, picture, writing | {rest:.1f} | |")
        print(f"\n{report['model']['name']} on {report['device']} in {report['precision']}")
        print(f"Milliliters: {report['volumes_ml']}")


if __name__ == "__main__":
    main()
