"""A ring of synthetic studies on disk, kept fresh by generator processes while the trainer reads."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from types import TracebackType

import numpy as np

from magpie_core.errors import InputError, ModelError
from magpie_core.training.sample import SEQUENCES, Sample

_MOST_FAILURES = 20


class SyntheticRing:
    """Synthetic samples made in the background.

    Parameters
    ----------
    folder
        Where the ring lies; samples from an earlier run are used again.
    anatomy
        Folder of label maps; None for a ring that is only drawn from.
    slots
        Number of samples kept; the oldest is overwritten.
    generators
        Processes that make studies, one thread each.
    filled_elsewhere
        Whether another process fills the ring, so that without generators the first samples are waited for.
    seed
        Studies are numbered from here; the same number gives the same study.
    recipe
        YAML file that says what to draw, of the usual four sequences; the default recipe if None.
    renderings
        Studies of one anatomy and tumour that differ in contrast and acquisition.
    fresh_share
        Share of draws that come from the `fresh` newest samples.

    Raises
    ------
    InputError
        If the recipe is faulty or makes other sequences, or generators have no label maps.
    """

    def __init__(
        self,
        folder: Path,
        *,
        anatomy: Path | None,
        slots: int = 1000,
        generators: int = 1,
        filled_elsewhere: bool = False,
        seed: int = 0,
        recipe: Path | None = None,
        renderings: int = 2,
        fresh_share: float = 0.5,
        fresh: int = 80,
    ) -> None:
        if recipe is not None:
            _check_recipe(recipe)
        if generators and anatomy is None:
            raise InputError(
                "Synthetic studies cannot be made without label maps of heads",
                remedy="Name their folder with --anatomy, or make none: --generators 0",
            )
        self.folder = folder
        self.fresh_share = fresh_share
        self.fresh = fresh
        self._filled_elsewhere = filled_elsewhere
        self._files: list[Path] = []
        self._listed_at = 0.0
        folder.mkdir(parents=True, exist_ok=True)
        context = multiprocessing.get_context("spawn")
        self._processes = [
            context.Process(
                target=_generate_forever,
                args=(folder, anatomy, recipe, slots, index, generators, seed, renderings, os.getpid()),
                daemon=True,
            )
            for index in range(generators)
        ]

    def __enter__(self) -> SyntheticRing:
        for process in self._processes:
            process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.terminate()
            process.join()

    def draw(self, random: np.random.Generator) -> Sample:
        """A random sample; waits for the first ones.

        Raises
        ------
        ModelError
            If no generator is alive and the ring is empty.
        """
        while True:
            if time.monotonic() - self._listed_at > 10 or not self._files:
                self._files = sorted(
                    self.folder.glob("slot_*.npy"), key=lambda path: path.stat().st_mtime, reverse=True
                )
                self._listed_at = time.monotonic()
            if len(self._files) >= 8:
                break
            if not self._filled_elsewhere and not any(process.is_alive() for process in self._processes):
                raise ModelError(
                    "No synthetic study could be made",
                    cause="the generator stopped; its last words are above",
                    remedy="Check the folder of label maps",
                    source=str(self.folder),
                )
            time.sleep(1)
        newest = random.random() < self.fresh_share
        pool = self._files[: self.fresh] if newest else self._files
        path = pool[random.integers(len(pool))]
        return Sample(np.load(path, mmap_mode="r"), path.stem)

    @property
    def made(self) -> int:
        """Samples in the ring now."""
        return len(self._files)


def _check_recipe(recipe: Path) -> None:
    from magpie_core.synthesis.recipe import Recipe

    if Recipe.read(recipe).sequences != SEQUENCES:
        raise InputError(
            "The recipe cannot be trained on",
            cause=f"training takes {', '.join(SEQUENCES)}, in this order",
            remedy="Leave its sequences as they are",
            source=str(recipe),
        )


def _generate_forever(
    folder: Path,
    anatomy: Path,
    recipe: Path | None,
    slots: int,
    index: int,
    generators: int,
    seed: int,
    renderings: int,
    parent: int,
) -> None:
    import torch

    from magpie_core.space.intensities import scale_intensities
    from magpie_core.synthesis.anatomy import Anatomy
    from magpie_core.synthesis.generator import GliomaGenerator
    from magpie_core.synthesis.recipe import Recipe

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if hasattr(os, "nice"):
        os.nice(5)
    generator = GliomaGenerator(Anatomy.from_folder(anatomy), recipe=Recipe.read(recipe) if recipe else None)
    counter = folder / f"made_{index}.txt"
    number = int(counter.read_text()) if counter.is_file() else 0
    failed = 0
    while os.getppid() == parent:
        try:
            studies = generator.sample(seed + index + generators * number, renderings=renderings)
        except InputError:  # this seed's tumours came out too small; the next may do
            failed += 1
            if failed > _MOST_FAILURES:
                raise
            studies = []
        else:
            failed = 0
        for which, study in enumerate(studies):
            images = np.stack([scale_intensities(image, study.brain) for image in study.images])
            slot = (index + generators * (renderings * number + which)) % slots
            target = folder / f"slot_{slot:05d}.npy"
            scratch = folder / f".slot_{slot:05d}.part"
            with scratch.open("wb") as stream:
                np.save(stream, Sample.pack(images, study.labels).packed)
            os.replace(scratch, target)
        number += 1
        scratch = counter.with_suffix(".part")
        scratch.write_text(str(number))
        os.replace(scratch, counter)
