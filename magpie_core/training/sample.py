"""A study packed for training: one byte a voxel, ready to be cut and augmented."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

MODALITIES = ("T1", "T1CE", "T2", "FLAIR")

# Scaled intensities lie in [-4, 6]; zero, the outside, is kept exactly.
_STEPS_PER_UNIT = 25.5
_OFFSET = 4.0

# The last channel: the label in two bits, above them how much is taken off the voxel's weight.
_LABEL_BITS = 2
_LABEL_MASK = 3
_LEAST_WEIGHT_STEPS = 63


@dataclass(frozen=True)
class Box:
    """A cut of a sample.

    Attributes
    ----------
    images
        (S, D, H, W) float32, zero outside the brain and where a modality was dropped.
    labels
        (D, H, W) uint8.
    weights
        (D, H, W) float32, 0 to 1: how far each voxel counts.
    present
        (S,) bool: which modalities are there.
    """

    images: Tensor
    labels: Tensor
    weights: Tensor
    present: Tensor


@dataclass(frozen=True)
class Sample:
    """Scaled images and labels of one study.

    Attributes
    ----------
    packed
        (S + 1, D, H, W) uint8, RAS order: the images in the order of `MODALITIES`, then the labels in the schema
        "magpie" together with the voxels' weights.
    name
        Which study it is.
    """

    packed: np.ndarray
    name: str = ""

    @classmethod
    def pack(
        cls, images: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None, *, name: str = ""
    ) -> Sample:
        """Pack scaled images (S, D, H, W) in [-4, 6], labels (D, H, W) and their weights (0 to 1; all 1 by default)."""
        bytes_ = np.rint((images + _OFFSET) * _STEPS_PER_UNIT).clip(0, 255).astype(np.uint8)
        marks = labels.astype(np.uint8)
        if weights is not None:
            marks = marks | (np.rint((1 - weights) * _LEAST_WEIGHT_STEPS).astype(np.uint8) << _LABEL_BITS)
        return cls(np.concatenate([bytes_, marks[None]]), name)

    def halved(self) -> Sample:
        """The study at twice the voxel size: mean images, and the regions (nested) that fill half of a voxel."""
        even = self.packed[:, : self.shape[0] & ~1, : self.shape[1] & ~1, : self.shape[2] & ~1]
        blocks = even.reshape(len(even), *(part for n in even.shape[1:] for part in (n // 2, 2)))
        images = np.rint(blocks[:-1].mean(axis=(2, 4, 6), dtype=np.float32)).astype(np.uint8)
        labels = np.zeros(images.shape[1:], np.uint8)
        fine, taken = blocks[-1] & _LABEL_MASK, blocks[-1] >> _LABEL_BITS
        for value, region in ((2, (1, 2, 3)), (1, (1, 3)), (3, (3,))):
            labels[np.isin(fine, region).mean(axis=(1, 3, 5)) >= 0.5] = value
        taken = np.rint(taken.mean(axis=(1, 3, 5))).astype(np.uint8)
        return Sample(np.concatenate([images, (labels | taken << _LABEL_BITS)[None]]), self.name)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size (D, H, W)."""
        depth, height, width = self.packed.shape[1:]
        return depth, height, width

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those of `MODALITIES` that the study has: the others are zero everywhere."""
        outside = np.uint8(_OFFSET * _STEPS_PER_UNIT)
        there = (self.packed[:-1, ::2, ::2, ::2] != outside).any(axis=(1, 2, 3))
        return tuple(name for name, has in zip(MODALITIES, there, strict=True) if has)

    @property
    def labels(self) -> np.ndarray:
        """Labels (D, H, W) uint8."""
        return self.packed[-1] & np.uint8(_LABEL_MASK)

    def places(self, *, tumor: bool, step: int = 3) -> np.ndarray:
        """Voxels (N, 3) of the tumor, or of the whole brain, on a grid thinned by `step`."""
        thinned = self.packed[:, ::step, ::step, ::step]
        outside = np.uint8(_OFFSET * _STEPS_PER_UNIT)
        chosen = thinned[-1] & _LABEL_MASK > 0 if tumor else (thinned[:-1] != outside).any(axis=0)
        return np.argwhere(chosen) * step

    def box(self, start: tuple[int, int, int], size: tuple[int, int, int], *, device: str = "cpu") -> Box:
        """A box of `size` voxels, on `device` but for `present`; what lies beyond the sample is outside the brain."""
        images = torch.zeros(len(self.packed) - 1, *size, device=device)
        marks = torch.zeros(size, dtype=torch.uint8, device=device)
        source = tuple(
            slice(max(s, 0), min(s + n, full)) for s, n, full in zip(start, size, self.shape, strict=True)
        )
        target = tuple(
            slice(part.start - s, part.start - s + max(part.stop - part.start, 0))
            for part, s in zip(source, start, strict=True)
        )
        cut = torch.from_numpy(np.array(self.packed[:, source[0], source[1], source[2]]))
        cut = cut.to(device, non_blocking=True)
        images[:, target[0], target[1], target[2]] = cut[:-1].float() / _STEPS_PER_UNIT - _OFFSET
        marks[target] = cut[-1]
        weights = 1 - (marks >> _LABEL_BITS).float() / _LEAST_WEIGHT_STEPS
        return Box(images, marks & _LABEL_MASK, weights, torch.ones(len(images), dtype=torch.bool))
