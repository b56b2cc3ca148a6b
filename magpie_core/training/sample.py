"""A study packed for training: one byte a voxel, ready to be cut and augmented."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# Scaled intensities lie in [-4, 6]; zero, the outside, is kept exactly.
_STEPS_PER_UNIT = 25.5
_OFFSET = 4.0


@dataclass(frozen=True)
class Sample:
    """Scaled images and labels of one study.

    Attributes
    ----------
    packed
        (S + 1, D, H, W) uint8, RAS order: the S images, then the labels in the schema "magpie".
    name
        Which study it is.
    """

    packed: np.ndarray
    name: str = ""

    @classmethod
    def pack(cls, images: np.ndarray, labels: np.ndarray, *, name: str = "") -> Sample:
        """Pack scaled images (S, D, H, W) in [-4, 6] and labels (D, H, W)."""
        bytes_ = np.rint((images + _OFFSET) * _STEPS_PER_UNIT).clip(0, 255).astype(np.uint8)
        return cls(np.concatenate([bytes_, labels[None].astype(np.uint8)]), name)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size (D, H, W)."""
        depth, height, width = self.packed.shape[1:]
        return depth, height, width

    @property
    def labels(self) -> np.ndarray:
        """Labels (D, H, W) uint8."""
        return self.packed[-1]

    def places(self, *, tumour: bool, step: int = 3) -> np.ndarray:
        """Voxels (N, 3) of the tumour, or of the whole brain, on a grid thinned by `step`."""
        thinned = self.packed[:, ::step, ::step, ::step]
        outside = np.uint8(_OFFSET * _STEPS_PER_UNIT)
        chosen = thinned[-1] > 0 if tumour else (thinned[:-1] != outside).any(axis=0)
        return np.argwhere(chosen) * step

    def box(self, start: tuple[int, int, int], size: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
        """Images (S, *size) float32 and labels (*size) of a box; what lies beyond the sample is outside."""
        images = torch.zeros(len(self.packed) - 1, *size)
        labels = torch.zeros(size, dtype=torch.uint8)
        source = tuple(
            slice(max(s, 0), min(s + n, full)) for s, n, full in zip(start, size, self.shape, strict=True)
        )
        target = tuple(
            slice(part.start - s, part.start - s + max(part.stop - part.start, 0))
            for part, s in zip(source, start, strict=True)
        )
        cut = torch.from_numpy(np.array(self.packed[:, source[0], source[1], source[2]]))
        images[:, target[0], target[1], target[2]] = cut[:-1].float() / _STEPS_PER_UNIT - _OFFSET
        labels[target] = cut[-1]
        return images, labels
