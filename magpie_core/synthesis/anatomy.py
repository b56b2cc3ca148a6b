"""Label maps of heads for synthetic studies, and the tissue probabilities that they give at arbitrary points."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nibabel
import numpy as np
import torch
from scipy import ndimage

from magpie_core.errors import InputError, ResourceError
from magpie_core.io.file_names import is_nifti
from magpie_core.io.template import template_head_file
from magpie_core.synthesis.tissue import HeadTissue as T
from magpie_core.synthesis.volume_operations import blur, pool, sample_at

SHAPE = (184, 216, 184)
_CLASSES = len(T)
_VENTRICLE_GRID_MM = 4.0
_SLAB_VOXELS = 400_000  # fits the cache of a CPU; a GPU takes all at once
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


@dataclass(eq=False)
class Anatomy:
    """A collection of label maps of whole heads, read on demand and then cached.

    Args:
        maps: NIfTI label maps, in values of HeadTissue (1 mm, centered on the brain) or in the codes of FreeSurfer or
            SynthSeg (about 1 mm, anywhere in the world).
    """

    maps: Sequence[Path]
    _heads: dict[tuple[int, int, str], Head] = field(default_factory=dict, init=False)

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
        """Return label map `number`: (D, H, W) uint8 of HeadTissue at 1 mm (InputError if the file is none)."""
        source = self.maps[number]
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
                cause="a 3-D map of a brain with voxels of about 1 mm is expected, in the 16 classes of this project "
                "or in the codes of FreeSurfer or SynthSeg",
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


class Head:
    """Tissue probabilities of one head, stored as bytes.

    Args:
        labels: (D, H, W) uint8 at 1 mm, values of HeadTissue, RAS, centered on the brain.
        factor: Probabilities are means of the one-hot map over cubes of factor^3 voxels; with 1, only the labels are
            stored.
    """

    def __init__(self, labels: np.ndarray, factor: int, device: torch.device | str = "cpu") -> None:
        whole = tuple(slice(n // factor * factor) for n in labels.shape)
        blocks = torch.from_numpy(np.ascontiguousarray(labels[whole], np.uint8)).to(device)
        self.spacing_mm = float(factor)
        self._labels = blocks if factor == 1 else None
        self._soft = _block_means(blocks, factor) if factor > 1 else None
        if self._soft is not None:
            inside = self._soft[..., T.VENTRICLE].float() + self._soft[..., T.CHOROID_PLEXUS]
            inside = inside / 255.0
        else:
            inside = ((blocks == T.VENTRICLE) | (blocks == T.CHOROID_PLEXUS)).float()
        cell = max(1, round(_VENTRICLE_GRID_MM / self.spacing_mm))
        self._gradient_spacing_mm = self.spacing_mm * cell
        self._gradient = torch.stack(torch.gradient(blur(pool(inside, cell), 1.6), spacing=self._gradient_spacing_mm))

    def sampler(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return a function of points (3, D, H, W) in mm from the center of the map to probabilities (16, D, H, W).

        Outside the map they are 0. The function holds a larger copy of the map; keep it no longer than a study.
        """
        if self._soft is not None:
            # channels last in memory: one visit per corner serves all classes
            soft = self._soft.float().div_(255.0).permute(3, 0, 1, 2)
            return lambda points: sample_at(soft, points, self.spacing_mm).contiguous()
        labels = self._labels
        assert labels is not None

        def sample(points: torch.Tensor) -> torch.Tensor:
            flat = points.flatten(1)
            found = flat.new_empty(_CLASSES, flat.shape[1])
            slab = _SLAB_VOXELS if flat.device.type == "cpu" else flat.shape[1]
            for start in range(0, flat.shape[1], slab):
                part = slice(start, start + slab)
                found[:, part] = _sample_labels(labels, flat[:, part])
            return found.view(_CLASSES, *points.shape[1:])

        return sample

    def ventricle_gradient(self, points: torch.Tensor) -> torch.Tensor:
        """Return the gradient (3, D, H, W) in 1/mm of the blurred ventricle map at points in mm."""
        return sample_at(self._gradient, points, self._gradient_spacing_mm)


def _block_means(labels: torch.Tensor, factor: int) -> torch.Tensor:
    """Return (D, H, W, 16) uint8; 255 means that the class fills the block."""
    corners = [labels[i::factor, j::factor, k::factor] for i, j, k in itertools.product(range(factor), repeat=3)]
    soft = torch.empty(*corners[0].shape, _CLASSES, dtype=torch.uint8, device=labels.device)
    for code in range(_CLASSES):
        count = torch.zeros(corners[0].shape, dtype=torch.int16, device=labels.device)
        for corner in corners:
            count += corner == code
        soft[..., code] = (count.float() * (255.0 / factor**3)).round().to(torch.uint8)
    return soft


def _sample_labels(labels: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Return trilinear class probabilities (16, N) of a centered label map (1 mm) at points (3, N) in mm; 0 outside.

    The weights of the eight labels around a point are summed by class; no one-hot map is made.
    """
    size = torch.tensor(labels.shape, device=points.device)
    position = points + (size[:, None] - 1) / 2
    low = position.floor()
    fraction = position - low
    corner = low.long()
    flat = labels.flatten()
    found = points.new_zeros(points.shape[1], _CLASSES)
    inside = [(corner + step >= 0) & (corner + step < size[:, None]) for step in (0, 1)]
    index = [(corner + step).clamp_min(0).minimum(size[:, None] - 1) for step in (0, 1)]
    near = (1 - fraction, fraction)
    _, rows, columns = labels.shape
    for i, j, k in itertools.product((0, 1), repeat=3):
        weight = near[i][0] * near[j][1] * near[k][2]
        at = index[i][0] * (rows * columns) + index[j][1] * columns + index[k][2]
        weight = weight * (inside[i][0] & inside[j][1] & inside[k][2])
        found.scatter_add_(1, flat[at].long()[:, None], weight[:, None])
    return found.T
