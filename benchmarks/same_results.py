"""Digests of what this version computes, to be compared with those of another version on the same computer.

    python benchmarks/same_results.py CASES/train CASES/sample --schema brats-2022 > digests.json

A digest of the labels of every study found below the folders, of synthetic studies by seed, and of the weights after a
short training with one thread. A change that only moves code leaves every line as it was.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np
from safetensors.numpy import load_file

from magpie_core.models.registry import find_model


def main() -> None:
    """Read the options, compute, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="folders with one subfolder for each labeled case")
    parser.add_argument("--schema", default="brats-2022", help="label schema of the cases")
    parser.add_argument("--cases", type=int, default=1000, help="of each folder at most so many")
    parser.add_argument("--synthetic", type=int, default=20, help="number of synthetic studies")
    parser.add_argument("--steps", type=int, default=20, help="length of the training")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        studies = [case for folder in options.folders for case in _cases(folder)[: options.cases]]
        magpie("segment", *studies, "-o", scratch / "segmented", "--device", "cpu", "--precision", "fp32")
        digests = {
            f"segmentation {study.name}": _of_image(scratch / "segmented" / study.name / "segmentation.nii.gz")
            for study in studies
        }
        magpie("synthesize", "-o", scratch / "synthetic", "--count", options.synthetic)
        for study in sorted((scratch / "synthetic").iterdir()):
            images = sorted(path for path in study.iterdir() if path.name.endswith(".nii.gz"))
            digests[f"synthetic {study.name}"] = _joined(_of_image(path) for path in images)
        magpie(
            "train", "cases", "--cases", options.folders[0], "--schema", options.schema,
            "--start", find_model(None), "-o", scratch / "run", "--steps", options.steps, "--precision", "fp32",
        )  # fmt: skip
        weights = load_file(scratch / "run" / "model" / "weights.safetensors")
        digests[f"weights after {options.steps} steps"] = _joined(sorted(map(_of_array, weights.values())))
    print(json.dumps(digests, indent=1))


def magpie(*arguments: object) -> None:
    """Run the command line of this version."""
    command = [sys.executable, "-m", "magpie_core.cli", *map(str, arguments)]
    # With label maps a training draws from studies that another process makes meanwhile: no two runs are the same.
    environment = {name: value for name, value in os.environ.items() if name != "MAGPIE_ANATOMY"}
    subprocess.run(command, check=True, stdout=sys.stderr, env=environment if arguments[0] == "train" else None)


def _cases(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")


def _of_image(path: Path) -> str:
    return _of_array(np.asarray(nibabel.load(path).dataobj))  # type: ignore[attr-defined]


def _of_array(values: np.ndarray) -> str:
    header = f"{values.shape} {values.dtype}".encode()
    return hashlib.sha256(header + np.ascontiguousarray(values).tobytes()).hexdigest()[:16]


def _joined(parts) -> str:
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]


if __name__ == "__main__":
    main()
