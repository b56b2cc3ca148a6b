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
        folder: Where the samples are kept; those that are there are used again.
        anatomy: Folder of label maps; None for the built-in template head.
        log: Folder of a log of how many are made.
    """

    def __init__(
        self,
        folder: Path,
        count: int,
        *,
        spacing_mm: float = 2.0,
        anatomy: Path | None = None,
        seed: int = 0,
        log: Path | None = None,
    ) -> None:
        names = (f"study_{spacing_mm:g}mm_{seed}_{number:04d}.npy" for number in range(count))
        self._files = [folder / name for name in names]
        self._spacing_mm = spacing_mm
        self._anatomy = anatomy
        self._seed = seed
        self._log = log or folder

    @property
    def made(self) -> int:
        """How many of the studies are there."""
        return sum(path.exists() for path in self._files)

    def fill(
        self, on_progress: Callable[[float], None] | None = None, *, is_time: Callable[[], bool] = lambda: True
    ) -> None:
        """Make the studies that are missing, one at least, until there is no time; the set is then those that are made.

        Each is counted in the log, as "made" of "studies": for many minutes there is no other sign of the training.
        `on_progress` gets the fraction done and may raise Cancelled.
        """
        missing = [index for index, path in enumerate(self._files) if not path.exists()]
        if not missing:
            return
        self._files[0].parent.mkdir(parents=True, exist_ok=True)
        self._log.mkdir(parents=True, exist_ok=True)
        total = len(self._files)

        def count(made: int) -> None:
            append_json_line(self._log / run_log.NAME, {"step": made, "made": made, "studies": total})

        generator = GliomaGenerator(Anatomy.find(self._anatomy), spacing_mm=self._spacing_mm)
        for done, index in enumerate(missing):
            if self.made and not is_time():
                break
            count(total - len(missing) + done)
            if on_progress:
                on_progress(done / len(missing))
            (study,) = generator.sample(self._seed + index)
            # Of its own process: two trainings of a site may make the same study.
            scratch = self._files[index].with_suffix(f".{os.getpid()}.part")
            with scratch.open("wb") as stream:
                np.save(stream, pack_synthetic(study).packed)
            os.replace(scratch, self._files[index])
        self._files = [path for path in self._files if path.exists()]
        count(len(self._files))

    def draw(self, rng: np.random.Generator) -> Sample:
        """Draw one of the studies."""
        path = self._files[rng.integers(len(self._files))]
        return Sample(np.load(path, mmap_mode="r"), path.stem)


def pack_synthetic(study: SyntheticStudy) -> Sample:
    """Normalize the images of a synthetic study and pack it."""
    images = np.stack([scale_intensities(image, study.brain) for image in study.images])
    return Sample.pack(images, study.labels)
