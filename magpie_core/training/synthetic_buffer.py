"""A ring of synthetic studies on disk, kept fresh by generator processes while the trainer reads."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

import numpy as np

from magpie_core.errors import InputError, ResourceError
from magpie_core.storage.atomic import write_bytes
from magpie_core.training.run_folder import locked
from magpie_core.training.sample import MODALITIES, Sample

_MOST_FAILURES = 20
_LEAST_SAMPLES = 8
_RECORD = "ring.json"
_SLOTS_AT_2_MM = 1000  # 3 MB each


class SyntheticBuffer:
    """Synthetic samples made in the background.

    Parameters
    ----------
    folder
        Where the ring lies; samples from an earlier run are used again.
    anatomy
        Folder of label maps; None for a ring that is only drawn from.
    spacing_mm
        Voxel size of the samples.
    slots
        Number of samples kept, the oldest is overwritten; 1000 at 2 mm by default, and fewer of finer ones.
    generators
        Processes that make studies, one thread each.
    filled_elsewhere
        Whether another process fills the ring, so that without generators the first samples are waited for.
    seed
        Studies are numbered from here; the same number gives the same study.
    recipe
        YAML file that says what to draw, of the usual four modalities; the default recipe if None.
    renderings
        Studies of one anatomy and tumor that differ in contrast and acquisition.
    fresh_share
        Share of draws that come from the `fresh` newest samples.

    Raises
    ------
    InputError
        If the recipe is faulty or makes other modalities, generators have no label maps, or the folder holds samples of
        another voxel size.
    """

    def __init__(
        self,
        folder: Path,
        *,
        anatomy: Path | None,
        spacing_mm: float = 2.0,
        slots: int | None = None,
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
        self._spacing_mm = spacing_mm
        self.fresh_share = fresh_share
        self.fresh = fresh
        self._filled_elsewhere = filled_elsewhere
        self._files: list[Path] = []
        self._listed_at = 0.0
        if not 0.5 <= spacing_mm <= 4:
            raise InputError(
                f"No synthetic studies are made with voxels of {spacing_mm:g} mm", remedy="Use 0.5 to 4 mm"
            )
        folder.mkdir(parents=True, exist_ok=True)
        check_buffer(folder, spacing_mm)
        self._held = ExitStack()
        slots = slots or max(_LEAST_SAMPLES, round(_SLOTS_AT_2_MM * (spacing_mm / 2) ** 3))
        context = multiprocessing.get_context("spawn")
        self._processes = [
            context.Process(
                target=_generate_forever,
                args=(folder, anatomy, recipe, spacing_mm, slots, index, generators, seed, renderings),
                daemon=True,
            )
            for index in range(generators)
        ]

    def __enter__(self) -> SyntheticBuffer:
        """Start the generators.

        Raises
        ------
        ResourceError
            If another process fills this ring, or its folder cannot be written.
        """
        if self._processes:
            self._held.enter_context(locked(self.folder, "Another training fills this ring"))
            for path in self.folder.glob(".*.part"):
                path.unlink()
            write_bytes(self.folder / _RECORD, json.dumps({"spacing_mm": self._spacing_mm}).encode())
        for process in self._processes:
            process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.terminate()
            process.join()
        self._held.close()

    def draw(self, random: np.random.Generator) -> Sample:
        """A random sample; waits for the first ones.

        Raises
        ------
        ResourceError
            If a generator has stopped, or there are hardly any samples and none are made.
        """
        while True:
            if time.monotonic() - self._listed_at > 10 or len(self._files) < _LEAST_SAMPLES:
                self._look()
            if len(self._files) >= _LEAST_SAMPLES:
                break
            time.sleep(1)
        newest = random.random() < self.fresh_share
        pool = self._files[: self.fresh] if newest else self._files
        path = pool[random.integers(len(pool))]
        # Read whole: an open file could not be replaced on Windows.
        return Sample(np.load(path, allow_pickle=False), path.stem)

    def _look(self) -> None:
        """See what there is, and that more comes."""
        files = self.folder.glob("slot_*.npy")
        self._files = sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)
        self._listed_at = time.monotonic()
        if any(process.exitcode is not None for process in self._processes):
            raise ResourceError(
                "No more synthetic studies are made",
                cause="a process that made them stopped; its last words are above",
                remedy="Check the folder of label maps, the room on the disk and the memory, and start again",
                source=str(self.folder),
            )
        if len(self._files) < _LEAST_SAMPLES and not self._processes and not self._filled_elsewhere:
            raise ResourceError(
                "There are no synthetic studies to draw from",
                cause=f"the folder holds {len(self._files)}, and no process makes more",
                remedy="Let one make them: --generators 1 with --anatomy; or name a folder that is filled",
                source=str(self.folder),
            )

    @property
    def made(self) -> int:
        """Samples in the ring now."""
        return len(self._files)


def check_buffer(folder: Path, spacing_mm: float) -> None:
    """See that the samples of a ring, if it is one, have this voxel size.

    Raises
    ------
    InputError
        If they have another.
    """
    found_mm = None
    with suppress(OSError, ValueError, KeyError, TypeError):
        found_mm = float(json.loads((folder / _RECORD).read_bytes())["spacing_mm"])
    if found_mm is None and next(folder.glob("slot_*.npy"), None) is not None:
        found_mm = 2.0  # rings had no record while all were of 2 mm
    if found_mm is not None and abs(found_mm - spacing_mm) > 0.01:
        raise InputError(
            f"The synthetic studies in this folder have voxels of {found_mm:g} mm",
            cause=f"the network works at {spacing_mm:g} mm",
            remedy="Choose another folder for the ring",
            source=str(folder),
        )


def _check_recipe(recipe: Path) -> None:
    from magpie_core.synthesis.config import GeneratorConfig

    if GeneratorConfig.read(recipe).modalities != MODALITIES:
        raise InputError(
            "The recipe cannot be trained on",
            cause=f"training takes {', '.join(MODALITIES)}, in this order",
            remedy="Leave its modalities as they are",
            source=str(recipe),
        )


def _generate_forever(
    folder: Path,
    anatomy: Path,
    recipe: Path | None,
    spacing_mm: float,
    slots: int,
    index: int,
    generators: int,
    seed: int,
    renderings: int,
) -> None:
    import torch

    from magpie_core.preprocessing.intensities import scale_intensities
    from magpie_core.synthesis.anatomy import Anatomy
    from magpie_core.synthesis.config import GeneratorConfig
    from magpie_core.synthesis.generator import GliomaGenerator, TooSmall

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if hasattr(os, "nice"):
        os.nice(5)
    generator = GliomaGenerator(
        Anatomy.from_folder(anatomy),
        recipe=GeneratorConfig.read(recipe) if recipe else None,
        spacing_mm=spacing_mm,
    )
    counter = folder / f"made_{index}.txt"
    number = _count(counter)
    failed = 0
    parent = multiprocessing.parent_process()
    while parent is None or parent.is_alive():
        try:
            studies = generator.sample(seed + index + generators * number, renderings=renderings)
        except InputError as error:  # the next seed may do: another head, a larger tumor
            if not isinstance(error, TooSmall):
                sys.stderr.write(f"{error}\n")
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
            scratch = folder / f".{os.getpid()}_{slot:05d}.part"
            with scratch.open("wb") as stream:
                np.save(stream, Sample.pack(images, study.labels).packed)
            try:
                os.replace(scratch, target)
            except PermissionError:  # it is being read (Windows): the next study may have its place
                scratch.unlink()
        number += 1
        scratch = folder / f".{os.getpid()}.part"
        scratch.write_text(str(number))
        os.replace(scratch, counter)


def _count(counter: Path) -> int:
    """How many studies were made before; 0 if that cannot be read."""
    try:
        return int(counter.read_text())
    except (OSError, ValueError):
        return 0
