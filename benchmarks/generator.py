"""Measure the time that the generator takes for a study of four modalities, after the first.

python benchmarks/generator.py --anatomy HEADS [--threads 2] [--studies 4] [--device cpu]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import mean, median

import torch

from magpie_core.synthesis.anatomy import Anatomy
from magpie_core.synthesis.generator import GliomaGenerator, grid_shape


def main() -> None:
    """Print a line for each voxel size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anatomy", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--studies", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    for spacing_mm, renderings in ((2.0, 1), (2.0, 2), (1.0, 1)):
        generator = GliomaGenerator(
            Anatomy(Anatomy.find(options.anatomy).maps[:2]),
            spacing_mm=spacing_mm,
            shape=grid_shape(spacing_mm),
            device=options.device,
        )
        for seed in range(4):  # both heads are cached
            generator.sample(seed)
        wall, cpu = [], []
        for seed in range(100, 100 + options.studies * (1 if spacing_mm < 2 else 4)):
            start, busy = time.monotonic(), time.process_time()
            generator.sample(seed, renderings=renderings)
            wall.append((time.monotonic() - start) / renderings)
            cpu.append((time.process_time() - busy) / renderings)
        print(
            f"{spacing_mm:g} mm, {renderings} renderings a geometry: {median(wall):.2f} s a study "
            f"(longest {max(wall):.2f} s), {mean(cpu):.2f} CPU seconds"
        )


if __name__ == "__main__":
    main()
