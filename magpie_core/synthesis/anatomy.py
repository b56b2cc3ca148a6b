"""Label maps of heads for synthetic studies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from scipy import ndimage

from magpie_core.errors import InputError, ResourceError
from magpie_core.io.file_names import is_nifti
from magpie_core.io.template import template_head_file
from magpie_core.synthesis.head import Head
from magpie_core.synthesis.label_codes import to_tissues
from magpie_core.synthesis.tissue import HeadTissue

SHAPE = (184, 216, 184)
_MIN_ML = 50.0  # of cortex, and of white matter: an infant's brain has more


class Anatomy:
    """A collection of label maps of whole heads, read on demand and then cached.

    Args:
        maps: Paths of NIfTI label maps, in values of HeadTissue (1 mm, centered on the brain) or in the codes of
            FreeSurfer or SynthSeg (about 1 mm, anywhere in the world); or arrays (D, H, W) of HeadTissue in RAS order.

    Raises:
        ResourceError: If there are no maps.
    """

    def __init__(self, maps: Sequence[Path | np.ndarray]) -> None:
        if not maps:
            raise ResourceError(
                "There are no heads to generate studies from",
                cause="no label maps were given",
                remedy="Choose a folder with label maps (*.nii.gz), or use the template head",
            )
        self.maps = tuple(maps)
        self._heads: dict[tuple[int, int, str], Head] = {}

    @classmethod
    def find(cls, folder: str | Path | None) -> Anatomy:
        """Return the label maps of a folder, or, for None, the average head that comes with this installation."""
        return cls([template_head_file()]) if folder is None else cls.from_folder(folder)

    @classmethod
    def from_folder(cls, folder: str | Path) -> Anatomy:
        """Return all label maps (*.nii.gz, *.nii) of a folder that are not hidden, sorted by name.

        Raises:
            ResourceError: If the folder is missing or holds no label map.
        """
        folder = Path(folder)
        paths = sorted(path for path in folder.glob("*") if is_nifti(path))
        if not paths:
            raise ResourceError(
                "The folder with the anatomical label maps cannot be used",
                cause="it holds no *.nii.gz files" if folder.is_dir() else "it does not exist",
                remedy="Choose a folder with label maps at 1 mm, or leave it out to use the template head",
                source=str(folder),
            )
        return cls(paths)

    def __len__(self) -> int:
        return len(self.maps)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_heads": {}}  # a worker process reads its own

    def labels(self, number: int) -> np.ndarray:
        """Return label map `number`: (D, H, W) uint8 of HeadTissue at 1 mm.

        Raises:
            InputError: If the file is not an anatomical label map.
        """
        return _read(self.maps[number])

    def head(self, number: int, *, spacing_mm: float, device: str = "cpu") -> Head:
        """Return head `number` at a resolution for a grid of `spacing_mm`, on a device.

        Raises:
            InputError: If the file is not an anatomical label map.
        """
        factor = max(1, int(spacing_mm + 1e-6))
        key = (number, factor, device)
        if key not in self._heads:
            self._heads[key] = Head(self.labels(number), factor, device)
        return self._heads[key]


def _read(source: Path | np.ndarray) -> np.ndarray:
    if isinstance(source, np.ndarray):
        return source.astype(np.uint8, copy=False)
    name = str(source)
    try:
        image = nibabel.as_closest_canonical(nibabel.load(source))
        labels, spacing = np.asarray(image.dataobj), np.asarray(image.header.get_zooms()[:3], float)
    except (OSError, EOFError, ValueError, nibabel.filebasedimages.ImageFileError) as error:
        raise InputError(
            "The label map cannot be read", cause=str(error), remedy="Replace the file", source=name
        ) from error
    labels = labels.squeeze()
    tissues = None
    if labels.ndim == 3 and labels.dtype.kind in "biuf" and labels.size and labels.min() >= 0:
        tissues = to_tissues(labels.astype(np.int32)) if np.array_equal(labels, labels.round()) else None
    if tissues is None or spacing.min() < 0.4 or spacing.max() > 2.1 or not _is_head(tissues, spacing):
        raise InputError(
            "The file is not an anatomical label map",
            cause="a 3-D map of a brain with voxels of about 1 mm is expected, in the 16 classes of this project or in "
            "the codes of FreeSurfer or SynthSeg",
            remedy="Choose a folder that holds such label maps only",
            source=name,
        )
    own = labels.max() < len(HeadTissue) and np.abs(spacing - 1.0).max() < 0.01
    return tissues if own else _standardized(tissues, spacing)


def _is_head(tissues: np.ndarray, spacing: np.ndarray) -> bool:
    """Return whether there is a brain: label maps of tumors and masks have none."""
    parts = (HeadTissue.CORTEX, HeadTissue.WHITE_MATTER)
    min_voxels = _MIN_ML * 1000 / spacing.prod()
    return all(np.count_nonzero(tissues == part) >= min_voxels for part in parts)


def _standardized(tissues: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Return tissues at 1 mm, centered on the brain, with the fluid around it that many programs do not label."""
    if np.abs(spacing - 1.0).max() > 0.01:
        tissues = ndimage.zoom(tissues, spacing, order=0)
    outer = (HeadTissue.BACKGROUND, HeadTissue.SOFT_TISSUE, HeadTissue.BONE)
    brain = ~np.isin(tissues, outer)
    if (tissues == HeadTissue.SULCAL_CSF).sum() < 0.05 * brain.sum():
        tissues, brain = np.pad(tissues, 8), np.pad(brain, 8)
        filled = ndimage.binary_closing(brain, ndimage.generate_binary_structure(3, 1), iterations=5)
        filled = ndimage.binary_dilation(ndimage.binary_fill_holes(filled), iterations=2)
        tissues = np.where(filled & ~brain, HeadTissue.SULCAL_CSF, tissues).astype(np.uint8)
        brain = filled
    return centered(tissues, brain)


def centered(labels: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Return labels cropped or padded to SHAPE around the center of the brain's bounding box."""
    index = np.argwhere(brain)
    start = (index.min(axis=0) + index.max(axis=0) + 1) // 2 - np.array(SHAPE) // 2
    before = np.maximum(-start, 0)
    after = np.maximum(start + SHAPE - labels.shape, 0)
    padded = np.pad(labels, list(zip(before, after, strict=True)))
    first = start + before
    return padded[tuple(slice(at, at + size) for at, size in zip(first, SHAPE, strict=True))]
