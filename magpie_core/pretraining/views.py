"""Views of a location in a brain: overlapping patches, each augmented and masked on its own."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from magpie_core.errors import InputError
from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES
from magpie_core.pretraining.config import PretrainingConfig
from magpie_core.training.augmentation import augment_intensities, cut_patch, deform
from magpie_core.training.sample import Sample

_BACKGROUND = 0.02


@dataclass(frozen=True)
class View:
    """One view.

    Attributes:
        images, targets: (S, D, H, W): the network's input before masking, and the target; zero outside the brain and
            where a modality is absent.
        visible: (D, H, W) bool: what is not masked.
        present: (S,) bool.
        subject: CRC-32 of the subject's name.
    """

    images: Tensor
    targets: Tensor
    visible: Tensor
    present: Tensor
    subject: int


def draw_views(
    sample: Sample, config: PretrainingConfig, rng: np.random.Generator, known: Sequence[str] = GLIOMA_MODALITY_NAMES
) -> list[View]:
    """Draw views around one location of the sample's brain; all randomness, torch's noise too, follows `rng`.

    Of the modalities, those that are `known` are present where the study has them.
    """
    torch.manual_seed(int(rng.integers(2**63)))
    indices = sample.voxel_indices(tumor=False)
    location = indices[rng.integers(len(indices))] if len(indices) else np.array(sample.shape) // 2
    # A view that would extend beyond the study is shifted inside, as far as it fits.
    half, shape, size = np.array(config.view_size) // 2, np.array(sample.shape), np.array(config.view_size)
    location = np.where(shape > size, np.clip(location, half, shape - half), shape // 2)
    flipped = rng.random() < 0.5
    readable = torch.tensor([name in known for name in GLIOMA_MODALITY_NAMES])
    return [_view(sample, location, config, readable, flipped, rng) for _ in range(config.views)]


def _view(
    sample: Sample,
    location: np.ndarray,
    config: PretrainingConfig,
    readable: Tensor,
    flipped: bool,
    rng: np.random.Generator,
) -> View:
    options = config.augmentation
    greatest_shift = np.floor(config.jitter * np.array(config.view_size)).astype(int)
    center = location + rng.integers(-greatest_shift, greatest_shift + 1)
    patch = cut_patch(sample, center, config.view_size, options, rng)
    images = patch.images
    if rng.random() < options.elastic:
        images, *_ = deform(images, patch.labels, patch.weights, rng)
    if flipped:
        images = images.flip(1)
    inside = images.abs().amax(dim=0) > _BACKGROUND
    if config.unit_range:
        images = _to_unit_range(images, sample)
    clean = images * inside
    images = augment_intensities(images, options, rng) * inside
    # A modality that the study lacks is zero everywhere.
    present = clean.flatten(1).any(dim=1) & readable
    if not present.any():
        present = readable
    if rng.random() < options.drop:
        kept = present & torch.from_numpy(rng.random(len(present)) >= options.drop_each)
        if not kept.any():
            kept[rng.choice(np.flatnonzero(present))] = True
        present = kept
    is_present = present[:, None, None, None]
    images = images * is_present
    return View(
        images,
        clean * is_present if config.clean_target else images,
        visible_blocks(inside, block_size=config.block_size, mask_ratio=config.mask_ratio, rng=rng),
        present,
        zlib.crc32(sample.name.encode()),
    )


def _to_unit_range(images: Tensor, sample: Sample) -> Tensor:
    """Scale so that each modality of the whole study ranges from 0 to 1 in its brain."""
    whole = sample.patch((0, 0, 0), sample.shape).images
    scaled = []
    for image, study in zip(images, whole, strict=True):
        brain = study[study.abs() > _BACKGROUND]
        low, high = (brain.min(), brain.max()) if len(brain) else (torch.zeros(()), torch.ones(()))
        scaled.append(((image - low) / (high - low).clamp_min(1e-3)).clamp(0, 1))
    return torch.stack(scaled)


def visible_blocks(brain: Tensor, *, block_size: int, mask_ratio: float, rng: np.random.Generator) -> Tensor:
    """Mask a fraction of the blocks with brain and as many of those without, so that some brain is always visible.

    Args:
        brain: (D, H, W) bool; each side a multiple of `block_size` (voxels; InputError otherwise).

    Returns:
        Tensor: (D, H, W) bool, true where visible to the network.
    """
    if any(size % block_size for size in brain.shape):
        raise InputError(
            f"Cannot divide a view of {' x '.join(map(str, brain.shape))} voxels into blocks of {block_size}",
            remedy=f"Choose sizes that are multiples of {block_size}",
        )
    shape = tuple(size // block_size for size in brain.shape)
    split = brain.reshape(*(part for size in shape for part in (size, block_size)))
    occupied = split.amax(dim=(1, 3, 5)).flatten().numpy()
    visible = np.ones(len(occupied), dtype=bool)
    for group in (np.flatnonzero(occupied), np.flatnonzero(~occupied)):
        count = min(round(mask_ratio * len(group)), max(len(group) - 1, 0))
        visible[rng.permutation(group)[:count]] = False
    blocks = torch.from_numpy(visible.reshape(shape))
    for axis in range(3):
        blocks = blocks.repeat_interleave(block_size, dim=axis)
    return blocks
