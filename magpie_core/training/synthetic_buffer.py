"""A FIFO buffer of synthetic studies on disk, filled by generator processes while the training reads."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np

from magpie_core.errors import InputError, ResourceError
from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES
from magpie_core.storage.atomic import write_bytes
from magpie_core.storage.folder_lock import locked_folder
from magpie_core.training.sample import Sample

_MOST_FAILURES = 20
_LEAST_SAMPLES = 8
_LIST_EVERY_S = 10
_RECORD = "buffer.json"
_SLOTS_AT_2_MM = 1000  # 3 MB each
_RENDERINGS = 2  # studies of one anatomy and tumor that differ in contrast and acquisition
_FRESH_FRACTION, _FRESH = 0.5, 80  # fraction of draws from the newest samples, and number of these


class SyntheticBuffer:
    """Synthetic samples made in the background.

    Args:
        folder: Where the samples are kept; those of an earlier run are used again.
        anatomy: Folder of label maps; None for a buffer that is only drawn from.
        slots: Number of samples kept, of which the oldest is overwritten; 1000 at 2 mm by default, fewer of finer ones.
        filled_elsewhere: Whether another process fills the buffer, so that without generators the first samples are
            waited for.
        seed: Seed of the first study; the same seed gives the same study.
        generator_config: YAML file of the generator, for the usual four modalities; the default if None.

    Raises:
        InputError: If the generator's configuration is faulty or has other modalities, generators have no label maps,
            or the folder holds samples of another voxel size.
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
        generator_config: Path | None = None,
    ) -> None:
        if generator_config is not None:
            _check_modalities(generator_config)
        if generators and anatomy is None:
            raise InputError(
                "Cannot generate synthetic studies without label maps of heads",
                remedy="Give their folder with --anatomy, or generate none: --generators 0",
            )
        if not 0.5 <= spacing_mm <= 4:
            raise InputError(
                f"Cannot generate synthetic studies with voxels of {spacing_mm:g} mm", remedy="Use 0.5 to 4 mm"
            )
        self.folder = folder
        self._spacing_mm = spacing_mm
        self._filled_elsewhere = filled_elsewhere
        self._files: list[Path] = []
        self._listed_at = 0.0
        folder.mkdir(parents=True, exist_ok=True)
        check_buffer(folder, spacing_mm)
        self._lock = ExitStack()
        slots = slots or max(_LEAST_SAMPLES, round(_SLOTS_AT_2_MM * (spacing_mm / 2) ** 3))
        context = multiprocessing.get_context("spawn")
        self._processes = [
            context.Process(
                target=_generate_forever,
                args=(folder, anatomy, generator_config, spacing_mm, slots, index, generators, seed),
                daemon=True,
            )
            for index in range(generators)
        ]

    def __enter__(self) -> SyntheticBuffer:
        """Start the generators (ResourceError if another process fills this buffer, or it cannot be written)."""
        if self._processes:
            self._lock.enter_context(locked_folder(self.folder, "Another training fills this synthetic buffer"))
            for path in self.folder.glob(".*.part"):
                path.unlink()
            write_bytes(self.folder / _RECORD, json.dumps({"spacing_mm": self._spacing_mm}).encode())
        for process in self._processes:
            process.start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.terminate()
            process.join()
        self._lock.close()

    def draw(self, rng: np.random.Generator) -> Sample:
        """Draw a random sample; wait for the first ones (ResourceError if none come, or a generator has stopped)."""
        while True:
            if time.monotonic() - self._listed_at > _LIST_EVERY_S or len(self._files) < _LEAST_SAMPLES:
                self._list_files()
            if len(self._files) >= _LEAST_SAMPLES:
                break
            time.sleep(1)
        candidates = self._files[:_FRESH] if rng.random() < _FRESH_FRACTION else self._files
        path = candidates[rng.integers(len(candidates))]
        # Not memory-mapped: an open file could not be replaced on Windows.
        return Sample(np.load(path, allow_pickle=False), path.stem)

    def _list_files(self) -> None:
        """List the samples, newest first, and check that more come."""
        files = self.folder.glob("slot_*.npy")
        self._files = sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)
        self._listed_at = time.monotonic()
        if any(process.exitcode is not None for process in self._processes):
            raise ResourceError(
                "Synthetic studies are no longer generated",
                cause="a generator process stopped; its error is printed above",
                remedy="Check the folder of label maps, the free disk space and the memory, and start again",
                source=str(self.folder),
            )
        if len(self._files) < _LEAST_SAMPLES and not self._processes and not self._filled_elsewhere:
            raise ResourceError(
                "There are no synthetic studies to draw from",
                cause=f"the folder holds {len(self._files)}, and no process generates more",
                remedy="Generate them: --generators 1 with --anatomy; or choose a folder that is filled",
                source=str(self.folder),
            )


def check_buffer(folder: Path, spacing_mm: float) -> None:
    """Check that the samples of a buffer, if the folder is one, have this voxel size (InputError otherwise)."""
    found_mm = None
    with suppress(OSError, ValueError, KeyError, TypeError):
        found_mm = float(json.loads((folder / _RECORD).read_bytes())["spacing_mm"])
    if found_mm is None and next(folder.glob("slot_*.npy"), None) is not None:
        found_mm = 2.0  # folders of samples without a record are of 2 mm
    if found_mm is not None and abs(found_mm - spacing_mm) > 0.01:
        raise InputError(
            f"The synthetic studies in this folder have voxels of {found_mm:g} mm",
            cause=f"the network works at {spacing_mm:g} mm",
            remedy="Choose another folder for the synthetic buffer",
            source=str(folder),
        )


def _check_modalities(generator_config: Path) -> None:
    from magpie_core.synthesis.config import GeneratorConfig

    if GeneratorConfig.read(generator_config).modalities != GLIOMA_MODALITY_NAMES:
        raise InputError(
            "Cannot train on the modalities of this generator configuration",
            cause=f"training takes {', '.join(GLIOMA_MODALITY_NAMES)}, in this order",
            remedy="Leave its modalities at their default",
            source=str(generator_config),
        )


def _generate_forever(
    folder: Path,
    anatomy: Path,
    generator_config: Path | None,
    spacing_mm: float,
    slots: int,
    index: int,
    generators: int,
    seed: int,
) -> None:
    import torch

    from magpie_core.synthesis.anatomy import Anatomy
    from magpie_core.synthesis.config import GeneratorConfig
    from magpie_core.synthesis.generator import GliomaGenerator, TumorTooSmallError
    from magpie_core.training.fixed_synthetic_set import pack_synthetic

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process ends this one
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if hasattr(os, "nice"):
        os.nice(5)
    generator = GliomaGenerator(
        Anatomy.find(anatomy),
        config=GeneratorConfig.read(generator_config) if generator_config else GeneratorConfig.default(),
        spacing_mm=spacing_mm,
    )
    counter = folder / f"made_{index}.txt"
    number = failures = 0
    with suppress(OSError, ValueError):
        number = int(counter.read_text())
    parent = multiprocessing.parent_process()
    while parent is None or parent.is_alive():
        try:
            studies = generator.sample(seed + index + generators * number, renderings=_RENDERINGS)
            failures = 0
        except InputError as error:  # the next seed may succeed: another head, a larger tumor
            if not isinstance(error, TumorTooSmallError):
                sys.stderr.write(f"{error}\n")
            failures += 1
            if failures > _MOST_FAILURES:
                raise
            studies = []
        for rendering, study in enumerate(studies):
            slot = (index + generators * (_RENDERINGS * number + rendering)) % slots
            scratch = folder / f".{os.getpid()}_{slot:05d}.part"
            with scratch.open("wb") as stream:
                np.save(stream, pack_synthetic(study).packed)
            try:
                os.replace(scratch, folder / f"slot_{slot:05d}.npy")
            except PermissionError:  # it is being read (Windows): this study is lost
                scratch.unlink()
        number += 1
        scratch = folder / f".{os.getpid()}.part"
        scratch.write_text(str(number))
        os.replace(scratch, counter)
