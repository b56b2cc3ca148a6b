"""A sample source of several folders: prepared datasets, and folders of packed samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from magpie_core.errors import InputError
from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES
from magpie_core.pretraining.dataset.config import CONFIG
from magpie_core.pretraining.dataset.dataset import PretrainingDataset
from magpie_core.training.sample import Sample, SampleSource
from magpie_core.training.synthetic_buffer import check_buffer


class MixedSource:
    """Draws from several folders, each with the same probability.

    Args:
        folders: Each a dataset (`magpie dataset prepare`), or a folder of packed samples (`*.npy`), such as a synthetic
            buffer.
        spacing_mm: Voxel size that the network works at; datasets and buffers of another are refused.
        unit_range: Whether intensities will be scaled to 0 ... 1; a dataset that is prepared so is refused otherwise.

    Raises:
        InputError: If a folder holds neither, or does not fit the others.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        others: Sequence[SampleSource] = (),
        spacing_mm: float,
        unit_range: bool = False,
    ) -> None:
        self._datasets = [folder for folder in folders if (folder / CONFIG).is_file()]
        opened: list[SampleSource] = []
        for folder in folders:
            if folder not in self._datasets:
                check_buffer(folder, spacing_mm)
                opened.append(_PackedFolder(folder))
                continue
            dataset = PretrainingDataset(folder)
            if dataset.config.intensities == "paper" and not unit_range:
                raise InputError(
                    "The dataset was prepared for the paper's intensities",
                    remedy="Pretrain with --preset paper or amaes, or prepare it again with --intensities zscore",
                    source=str(folder),
                )
            if abs(dataset.config.spacing_mm - spacing_mm) > 0.01:
                raise InputError(
                    f"The dataset has voxels of {dataset.config.spacing_mm:g} mm",
                    cause=f"the network works at {spacing_mm:g} mm",
                    remedy=f"Prepare it again with --spacing-mm {spacing_mm:g}",
                    source=str(folder),
                )
            opened.append(dataset)
        self._sources = [*opened, *others]
        if not self._sources:
            raise InputError(
                "There are no samples to pretrain on", remedy="Give a dataset, or a folder of packed samples"
            )

    def draw(self, rng: np.random.Generator) -> Sample:
        """Draw a sample of one of them."""
        source = self._sources[0 if len(self._sources) == 1 else rng.integers(len(self._sources))]
        return source.draw(rng)

    def validation(self) -> SampleSource | None:
        """Return the validation split of the first dataset that has one."""
        for folder in self._datasets:
            dataset = PretrainingDataset(folder, "validation")
            if len(dataset):
                return dataset
        return None


class _PackedFolder:
    def __init__(self, folder: Path) -> None:
        self._files = sorted(folder.glob("*.npy"))
        if not self._files:
            raise InputError(
                "The folder is neither a dataset nor one of packed samples",
                cause=f"there is no {CONFIG} and no *.npy in it" if folder.is_dir() else "it does not exist",
                remedy="Prepare a dataset with: magpie dataset prepare",
                source=str(folder),
            )

    def draw(self, rng: np.random.Generator) -> Sample:
        path = self._files[rng.integers(len(self._files))]
        try:
            packed = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError("Cannot read the packed sample", cause=str(error), source=str(path)) from error
        if packed.ndim != 4 or len(packed) != len(GLIOMA_MODALITY_NAMES) + 1 or packed.dtype != np.uint8:
            raise InputError(
                "The file is not a packed sample",
                cause=f"it holds {packed.dtype} of shape {packed.shape}",
                remedy="Remove it from the folder",
                source=str(path),
            )
        return Sample(packed, path.stem)
