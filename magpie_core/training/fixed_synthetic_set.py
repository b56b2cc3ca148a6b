"""A fixed set of synthetic studies, made once and kept on disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from magpie_core.preprocessing.intensities import scale_intensities
from magpie_core.storage.json_lines import append_json_line
from magpie_core.synthesis.anatomy import Anatomy
from magpie_core.synthesis.generator import GliomaGenerator
from magpie_core.synthesis.synthetic_study import SyntheticStudy
from magpie_core.training import run_log
from magpie_core.training.sample import Sample


class FixedSyntheticSet:
    """Synthetic samples against forgetting; the same seed gives the same set.

    Args:
        folder: Where the samples are kept, with a log of how many are made; those of an interrupted run are used again.
        anatomy: Folder of label maps; None for the built-in template head.
    """

    def __init__(
        self, folder: Path, count: int, *, spacing_mm: float = 2.0, anatomy: Path | None = None, seed: int = 0
    ) -> None:
        names = (f"study_{spacing_mm:g}mm_{seed}_{number:04d}.npy" for number in range(count))
        self._files = [folder / name for name in names]
        self._spacing_mm = spacing_mm
        self._anatomy = anatomy
        self._seed = seed

    def fill(self, on_progress: Callable[[float], None] | None = None) -> None:
        """Make the studies that are missing; `on_progress` gets the fraction done and may raise Cancelled.

        Each is counted in the log, as "made" of "studies": for many minutes there is no other sign of the training.
        """
        missing = [index for index, path in enumerate(self._files) if not path.exists()]
        if not missing:
            return
        folder = self._files[0].parent
        folder.mkdir(parents=True, exist_ok=True)
        total = len(self._files)

        def count(made: int) -> None:
            append_json_line(folder / run_log.NAME, {"step": made, "made": made, "studies": total})

        generator = GliomaGenerator(Anatomy.find(self._anatomy), spacing_mm=self._spacing_mm)
        for done, index in enumerate(missing):
            count(total - len(missing) + done)
            if on_progress:
                on_progress(done / len(missing))
            (study,) = generator.sample(self._seed + index)
            scratch = self._files[index].with_suffix(".part")
            with scratch.open("wb") as stream:
                np.save(stream, pack_synthetic(study).packed)
            os.replace(scratch, self._files[index])
        count(total)

    def draw(self, rng: np.random.Generator) -> Sample:
        """Draw one of the studies."""
        path = self._files[rng.integers(len(self._files))]
        return Sample(np.load(path, mmap_mode="r"), path.stem)


def pack_synthetic(study: SyntheticStudy) -> Sample:
    """Normalize the images of a synthetic study and pack it."""
    images = np.stack([scale_intensities(image, study.brain) for image in study.images])
    return Sample.pack(images, study.labels)
