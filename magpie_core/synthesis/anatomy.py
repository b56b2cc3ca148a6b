"""Label maps of heads for synthetic studies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

from magpie_core.errors import InputError, ResourceError
from magpie_core.io.file_names import is_nifti
from magpie_core.io.template import template_head_file
from magpie_core.synthesis.head import Head
from magpie_core.synthesis.tissue import HeadTissue as T

SHAPE = (184, 216, 184)
_MIN_ML = 50.0  # of cortex, and of white matter: an infant's brain has more
# Codes of FreeSurfer's color table (aseg, aparc+aseg, wmparc), and those that SynthSeg's training maps add to it.
_CODES: dict[T, tuple[int, ...]] = {
    T.SULCAL_CSF: (24, 257, 122, 72),
    T.VENTRICLE: (4, 5, 14, 15, 43, 44, 213, 221),
    T.CORTEX: (
        *(3, 42, 19, 20, 55, 56),
        *(code for first in (1000, 2000, 11100, 12100) for code in range(first, first + 100)),
    ),
    T.CEREBELLAR_CORTEX: (8, 47, 6, 45, 172),
    T.WHITE_MATTER: (
        *(2, 41, 85, 250, 251, 252, 253, 254, 255, 192),
        *range(3000, 3100),
        *range(4000, 4100),
        *range(5001, 5003),
    ),
    T.CEREBELLAR_WHITE_MATTER: (7, 46),
    T.STRIATUM: (11, 12, 26, 50, 51, 58),
    T.PALLIDUM: (13, 52),
    T.THALAMUS: (9, 10, 28, 48, 49, 60),
    T.HIPPOCAMPUS: (17, 18, 53, 54),
    T.BRAINSTEM: (16, 170, 173, 174, 175, 178),
    T.SOFT_TISSUE: (118, 119, 120, 121, 131, 258, 506, 507, 508, 509, 511, 512, 514, 515, 516, 530),
    T.BONE: (165, 259),
    T.CHOROID_PLEXUS: (31, 63),
    T.WHITE_MATTER_LESION: (77, 78, 79, 80, 81, 82),
}
_MIN_KNOWN_FRACTION = 0.98


class Anatomy:
    """A collection of label maps of whole heads, read on demand and then cached.

    Args:
        maps: Paths of NIfTI label maps, in values of HeadTissue (1 mm, centered on the brain) or in the codes of
            FreeSurfer or SynthSeg (about 1 mm, anywhere in the world); or arrays (D, H, W) of HeadTissue in RAS order.
    """

    def __init__(self, maps: Sequence[Path | np.ndarray]) -> None:
        self.maps = tuple(maps)
        self._heads: dict[tuple[int, int, str], Head] = {}

    @classmethod
    def find(cls, folder: str | Path | None) -> Anatomy:
        """Return all label maps (*.nii.gz, *.nii) of a folder that are not hidden, sorted by name.

        For None, the average head that comes with this installation.

        Raises:
            ResourceError: If the folder is missing or holds no label map.
        """
        if folder is None:
            return cls([template_head_file()])
        paths = sorted(path for path in Path(folder).glob("*") if is_nifti(path))
        if not paths:
            raise ResourceError(
                "The folder with the anatomical label maps cannot be used",
                cause="it holds no *.nii.gz files" if Path(folder).is_dir() else "it does not exist",
                remedy="Choose a folder with label maps at 1 mm, or leave it out to use the template head",
                source=str(folder),
            )
        return cls(paths)

    def __len__(self) -> int:
        return len(self.maps)

    def labels(self, number: int) -> np.ndarray:
        """Return label map `number`: (D, H, W) uint8 of HeadTissue at 1 mm.

        Raises:
            InputError: If the file is not an anatomical label map.
        """
        source = self.maps[number]
        if isinstance(source, np.ndarray):
            return source.astype(np.uint8, copy=False)
        try:
            image = nibabel.as_closest_canonical(nibabel.load(source))
            labels, spacing = np.asarray(image.dataobj), np.asarray(image.header.get_zooms()[:3], float)
        except (OSError, EOFError, ValueError, nibabel.filebasedimages.ImageFileError) as error:
            raise InputError(
                "The label map cannot be read", cause=str(error), remedy="Replace the file", source=str(source)
            ) from error
        labels = labels.squeeze()
        tissues = None
        if labels.ndim == 3 and labels.dtype.kind in "biuf" and labels.size and labels.min() >= 0:
            tissues = _to_tissues(labels.astype(np.int32)) if np.array_equal(labels, labels.round()) else None
        # label maps of tumors and masks have no brain
        has_brain = tissues is not None and all(
            np.count_nonzero(tissues == part) * spacing.prod() >= 1000 * _MIN_ML for part in (T.CORTEX, T.WHITE_MATTER)
        )
        if tissues is None or spacing.min() < 0.4 or spacing.max() > 2.1 or not has_brain:
            raise InputError(
                "The file is not an anatomical label map",
                cause="a 3-D map of a brain with voxels of about 1 mm is expected, in the 16 classes of this project or in "
                "the codes of FreeSurfer or SynthSeg",
                remedy="Choose a folder that holds such label maps only",
                source=str(source),
            )
        own = labels.max() < len(T) and np.abs(spacing - 1.0).max() < 0.01
        return tissues if own else _standardized(tissues, spacing)

    def head(self, number: int, *, spacing_mm: float, device: str = "cpu") -> Head:
        """Return head `number` at a resolution for a grid of `spacing_mm`, on a device."""
        factor = max(1, int(spacing_mm + 1e-6))
        key = (number, factor, device)
        if key not in self._heads:
            self._heads[key] = Head(self.labels(number), factor, device)
        return self._heads[key]


def _to_tissues(labels: np.ndarray) -> np.ndarray | None:
    """Convert a label map (D, H, W) to HeadTissue, uint8; vessels and unknown labels become cerebrospinal fluid.

    Maps with values of HeadTissue only are returned unchanged; others are read as FreeSurfer's or SynthSeg's codes.
    Returns None if more than 2 % of the labeled voxels have unknown codes.
    """
    if labels.max() < len(T):
        # FreeSurfer's codes go beyond these in every head: the right hemisphere begins at 41.
        return labels.astype(np.uint8)
    known = {code: tissue for tissue, codes in _CODES.items() for code in codes}
    labeled = labels[labels != 0]
    if not labeled.size or np.isin(labeled, list(known)).mean() < _MIN_KNOWN_FRACTION:
        return None
    values, inverse = np.unique(labels, return_inverse=True)
    table = np.array([known.get(value, T.SULCAL_CSF) if value else 0 for value in values.tolist()], np.uint8)
    return table[inverse].reshape(labels.shape)


def _standardized(tissues: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Return tissues at 1 mm, centered on the brain, with the fluid around it that many programs do not label."""
    if np.abs(spacing - 1.0).max() > 0.01:
        tissues = ndimage.zoom(tissues, spacing, order=0)
    outer = (T.BACKGROUND, T.SOFT_TISSUE, T.BONE)
    brain = ~np.isin(tissues, outer)
    if (tissues == T.SULCAL_CSF).sum() < 0.05 * brain.sum():
        tissues, brain = np.pad(tissues, 8), np.pad(brain, 8)
        filled = ndimage.binary_closing(brain, ndimage.generate_binary_structure(3, 1), iterations=5)
        filled = ndimage.binary_dilation(ndimage.binary_fill_holes(filled), iterations=2)
        tissues = np.where(filled & ~brain, T.SULCAL_CSF, tissues).astype(np.uint8)
        brain = filled
    return centered(tissues, brain)


def centered(labels: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Return labels cropped or padded to SHAPE around the center of the brain's bounding box."""
    index = np.argwhere(brain)
    padded = np.pad(labels, [(size // 2, size // 2) for size in SHAPE])
    start = (index.min(axis=0) + index.max(axis=0) + 1) // 2
    return padded[tuple(slice(at, at + size) for at, size in zip(start, SHAPE, strict=True))]
