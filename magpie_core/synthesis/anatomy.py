"""The heads that synthetic studies are made in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from magpie_core.errors import InputError, ResourceError
from magpie_core.synthesis.head import Head
from magpie_core.synthesis.tissue import HeadTissue


class Anatomy:
    """A collection of whole-head label maps, read when first needed and then kept in memory.

    Parameters
    ----------
    maps
        Paths of NIfTI label maps, or arrays (D, H, W) in RAS order: 1 mm, values of HeadTissue, centred on the brain.

    Raises
    ------
    ResourceError
        If there are no maps.
    """

    def __init__(self, maps: Sequence[Path | np.ndarray]) -> None:
        if not maps:
            raise ResourceError(
                "There is no anatomy to make studies in",
                cause="no label maps were given",
                remedy="Name a folder with label maps (*.nii.gz), or use the template head",
            )
        self.maps = tuple(maps)
        self._heads: dict[tuple[int, int], Head] = {}

    @classmethod
    def find(cls, folder: str | Path | None) -> Anatomy:
        """Label maps of a folder, else the template head that comes with an installed package."""
        return cls.fallback() if folder is None else cls.from_folder(folder)

    @classmethod
    def from_folder(cls, folder: str | Path) -> Anatomy:
        """All label maps (*.nii.gz, *.nii) of a folder, in the order of their names.

        Raises
        ------
        ResourceError
            If the folder is missing or holds no label map.
        """
        folder = Path(folder)
        paths = sorted([*folder.glob("*.nii.gz"), *folder.glob("*.nii")])
        if not paths:
            raise ResourceError(
                "The folder with the anatomical label maps cannot be used",
                cause="it holds no *.nii.gz files" if folder.is_dir() else "it does not exist",
                remedy="Name a folder with label maps at 1 mm, or leave it out to use the template head",
                source=str(folder),
            )
        return cls(paths)

    @classmethod
    def fallback(cls) -> Anatomy:
        """One coarse average head, made from the ICBM 152 template that nilearn's package carries.

        Raises
        ------
        ResourceError
            If nilearn or its template files are not installed.
        """
        from magpie_core.synthesis.template_head import template_head

        return cls([template_head()])

    def __len__(self) -> int:
        return len(self.maps)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_heads": {}}  # a worker process reads the maps that it needs itself

    def labels(self, number: int) -> np.ndarray:
        """Label map `number`: (D, H, W) uint8 of HeadTissue at 1 mm.

        Raises
        ------
        InputError
            If the file is not such a map.
        """
        return _read(self.maps[number])

    def head(self, number: int, *, spacing_mm: float) -> Head:
        """Head `number` with a resolution that suits a grid of `spacing_mm`.

        Raises
        ------
        InputError
            If the file is not a label map at 1 mm.
        """
        factor = max(1, int(spacing_mm + 1e-6))
        if (number, factor) not in self._heads:
            self._heads[number, factor] = Head(self.labels(number), factor)
        return self._heads[number, factor]


def _read(source: Path | np.ndarray) -> np.ndarray:
    if isinstance(source, np.ndarray):
        labels, name, spacing = source, "", np.ones(3)
    else:
        name = str(source)
        try:
            image = nibabel.as_closest_canonical(nibabel.load(source))
            labels, spacing = np.asarray(image.dataobj), np.asarray(image.header.get_zooms()[:3])
        except (OSError, EOFError, ValueError, nibabel.filebasedimages.ImageFileError) as error:
            raise InputError(
                "The label map cannot be read", cause=str(error), remedy="Replace the file", source=name
            ) from error
    if (
        labels.ndim != 3
        or np.abs(spacing - 1.0).max() > 0.01
        or labels.min() < 0
        or labels.max() >= len(HeadTissue)
    ):
        raise InputError(
            "The file is not an anatomical label map",
            cause=f"a 3-D map at 1 mm with classes 0 to {len(HeadTissue) - 1} is expected",
            remedy="Name a folder that holds such label maps only",
            source=name,
        )
    return labels.astype(np.uint8, copy=False)
