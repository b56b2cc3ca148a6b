"""Where pretraining draws its samples from: prepared corpora, and folders of packed samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from magpie_core.errors import InputError
from magpie_core.pretraining.dataset.dataset import PretrainingDataset
from magpie_core.training.sample import MODALITIES, Sample
from magpie_core.training.sample_source import SampleSource
from magpie_core.training.synthetic_buffer import check_buffer


class PretrainingSource:
    """Samples of several folders, each folder as likely as any other.

    Parameters
    ----------
    folders
        Each a corpus (`magpie corpus prepare`), or any folder of packed samples (`*.npy`), such as a synthetic ring.
    others
        Further sources, such as a ring that is being filled.
    spacing_mm
        Voxel size that the network works at; corpora and rings of another are refused. Not looked at if None.
    unit_range
        Whether intensities will be scaled to 0 ... 1; a corpus that is prepared so is of no other use.

    Raises
    ------
    InputError
        If a folder holds neither, or does not fit the others.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        others: Sequence[SampleSource] = (),
        spacing_mm: float | None = None,
        unit_range: bool = False,
    ) -> None:
        self._corpora = [folder for folder in folders if (folder / "corpus.json").is_file()]
        opened: list[SampleSource] = []
        spacings: dict[float, Path] = {}
        for folder in folders:
            if folder not in self._corpora:
                if spacing_mm is not None:
                    check_buffer(folder, spacing_mm)
                opened.append(_PackedFolder(folder))
                continue
            corpus = PretrainingDataset(folder)
            if corpus.recipe.intensities == "paper" and not unit_range:
                raise InputError(
                    "The corpus was prepared for the paper's intensities",
                    remedy="Pretrain with --preset paper or amaes, or prepare it anew with --intensities zscore",
                    source=str(folder),
                )
            if spacing_mm is not None and abs(corpus.recipe.spacing_mm - spacing_mm) > 0.01:
                raise InputError(
                    f"The corpus has voxels of {corpus.recipe.spacing_mm:g} mm",
                    cause=f"the network works at {spacing_mm:g} mm",
                    remedy=f"Prepare it anew with --spacing-mm {spacing_mm:g}",
                    source=str(folder),
                )
            spacings.setdefault(corpus.recipe.spacing_mm, folder)
            opened.append(corpus)
        if len(spacings) > 1:
            raise InputError(
                "The corpora do not fit each other",
                cause=", ".join(f"{folder} has voxels of {size:g} mm" for size, folder in spacings.items()),
                remedy="Prepare them with the same --spacing-mm",
            )
        self._sources = [*opened, *others]
        if not self._sources:
            raise InputError(
                "There is nothing to learn from", remedy="Name a corpus, or a folder of packed samples"
            )

    def draw(self, random: np.random.Generator) -> Sample:
        """A sample of one of them."""
        source = self._sources[0 if len(self._sources) == 1 else random.integers(len(self._sources))]
        return source.draw(random)

    def held_out(self) -> SampleSource | None:
        """Studies of the first corpus that has some set aside for validation."""
        for folder in self._corpora:
            corpus = PretrainingDataset(folder, "validation")
            if len(corpus):
                return corpus
        return None


class _PackedFolder:
    def __init__(self, folder: Path) -> None:
        self._files = sorted(folder.glob("*.npy"))
        if not self._files:
            raise InputError(
                "The folder is neither a corpus nor one of packed samples",
                cause="there is no corpus.json and no *.npy in it"
                if folder.is_dir()
                else "it does not exist",
                remedy="Prepare a corpus with: magpie corpus prepare",
                source=str(folder),
            )

    def draw(self, random: np.random.Generator) -> Sample:
        path = self._files[random.integers(len(self._files))]
        try:
            packed = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(
                "The packed sample cannot be read", cause=str(error), source=str(path)
            ) from error
        if packed.ndim != 4 or len(packed) != len(MODALITIES) + 1 or packed.dtype != np.uint8:
            raise InputError(
                "The file is not a packed sample",
                cause=f"it holds {packed.dtype} of shape {packed.shape}",
                remedy="Take it out of the folder",
                source=str(path),
            )
        return Sample(packed, path.stem)
