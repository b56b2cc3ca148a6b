"""A study packed for training, one byte per voxel; and where samples come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES

# Normalized intensities are clipped to [-4, 6]; zero, outside the brain, is kept exactly.
_STEPS_PER_UNIT = 25.5
_OFFSET = 4.0

# The last channel: the label in two bits, above them one minus the voxel's weight, in 63 steps.
_LABEL_BITS = 2
_LABEL_MASK = 3
_WEIGHT_STEPS = 63


@dataclass(frozen=True)
class Patch:
    """A patch of a sample.

    Attributes:
        images: (S, D, H, W) float32, zero outside the brain and where a modality was dropped.
        labels: (D, H, W) uint8.
        weights: (D, H, W) float32, 0 to 1: weight of each voxel in the loss.
        present: (S,) bool: which modalities are present.
    """

    images: Tensor
    labels: Tensor
    weights: Tensor
    present: Tensor


@dataclass(frozen=True)
class Sample:
    """Normalized images and labels of one study.

    Attributes:
        packed: (S + 1, D, H, W) uint8, RAS order: the images in the order of `GLIOMA_MODALITY_NAMES`, then the labels
            in the schema "magpie" together with the voxel weights.
    """

    packed: np.ndarray
    name: str = ""

    @classmethod
    def pack(
        cls, images: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None, *, name: str = ""
    ) -> Sample:
        """Pack normalized images (S, D, H, W), labels (D, H, W) and voxel weights (0 to 1; all 1 by default)."""
        voxels = np.rint((images + _OFFSET) * _STEPS_PER_UNIT).clip(0, 255).astype(np.uint8)
        bits = labels.astype(np.uint8)
        if weights is not None:
            bits = bits | (np.rint((1 - weights) * _WEIGHT_STEPS).astype(np.uint8) << _LABEL_BITS)
        return cls(np.concatenate([voxels, bits[None]]), name)

    def downsampled(self) -> Sample:
        """Return the study at twice the voxel size: mean images, and the nested regions that fill half of a voxel."""
        even = self.packed[:, : self.shape[0] & ~1, : self.shape[1] & ~1, : self.shape[2] & ~1]
        blocks = even.reshape(len(even), *(part for n in even.shape[1:] for part in (n // 2, 2)))
        images = np.rint(blocks[:-1].mean(axis=(2, 4, 6), dtype=np.float32)).astype(np.uint8)
        labels = np.zeros(images.shape[1:], np.uint8)
        fine, lost = blocks[-1] & _LABEL_MASK, blocks[-1] >> _LABEL_BITS
        for value, region in ((2, (1, 2, 3)), (1, (1, 3)), (3, (3,))):
            labels[np.isin(fine, region).mean(axis=(1, 3, 5)) >= 0.5] = value
        lost = np.rint(lost.mean(axis=(1, 3, 5))).astype(np.uint8)
        return Sample(np.concatenate([images, (labels | lost << _LABEL_BITS)[None]]), self.name)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Size in voxels (D, H, W)."""
        depth, height, width = self.packed.shape[1:]
        return depth, height, width

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those of `GLIOMA_MODALITY_NAMES` that the study has: the others are zero everywhere."""
        outside = np.uint8(_OFFSET * _STEPS_PER_UNIT)
        there = (self.packed[:-1, ::2, ::2, ::2] != outside).any(axis=(1, 2, 3))
        return tuple(name for name, has in zip(GLIOMA_MODALITY_NAMES, there, strict=True) if has)

    @property
    def labels(self) -> np.ndarray:
        """Labels (D, H, W) uint8."""
        return self.packed[-1] & np.uint8(_LABEL_MASK)

    def voxel_indices(self, *, tumor: bool, step: int = 3) -> np.ndarray:
        """Return indices (N, 3) of the voxels of the tumor, or of the whole brain, of every `step`-th per axis."""
        thinned = self.packed[:, ::step, ::step, ::step]
        outside = np.uint8(_OFFSET * _STEPS_PER_UNIT)
        chosen = thinned[-1] & _LABEL_MASK > 0 if tumor else (thinned[:-1] != outside).any(axis=0)
        return np.argwhere(chosen) * step

    def patch(self, start: tuple[int, int, int], size: tuple[int, int, int], *, device: str = "cpu") -> Patch:
        """Cut a patch of `size` voxels, on `device` but for `present`; beyond the sample it is zero."""
        images = torch.zeros(len(self.packed) - 1, *size, device=device)
        bits = torch.zeros(size, dtype=torch.uint8, device=device)
        source = tuple(slice(max(s, 0), min(s + n, full)) for s, n, full in zip(start, size, self.shape, strict=True))
        target = tuple(
            slice(part.start - s, part.start - s + max(part.stop - part.start, 0))
            for part, s in zip(source, start, strict=True)
        )
        cut = torch.from_numpy(np.array(self.packed[:, source[0], source[1], source[2]]))
        cut = cut.to(device, non_blocking=True)
        images[:, target[0], target[1], target[2]] = cut[:-1].float() / _STEPS_PER_UNIT - _OFFSET
        bits[target] = cut[-1]
        weights = 1 - (bits >> _LABEL_BITS).float() / _WEIGHT_STEPS
        return Patch(images, bits & _LABEL_MASK, weights, torch.ones(len(images), dtype=torch.bool))


class SampleSource(Protocol):
    """Draws samples: a FIFO buffer or fixed set of synthetic studies, or a pretraining dataset."""

    def draw(self, rng: np.random.Generator) -> Sample:
        """Draw one sample."""
