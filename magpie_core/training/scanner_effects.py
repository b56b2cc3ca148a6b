"""Transforms of the MAGPIE paper's augmentation: smooth bending, bias field, spikes in k-space."""

from __future__ import annotations

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import RandBiasField, RandKSpaceSpikeNoise, RandomizableTransform
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional as F

_ELASTIC_SIGMA_VOXELS = 10.0
_ELASTIC_MAGNITUDE = 250.0  # of uniform noise before smoothing: about 0.7 voxels after it


def bend(
    images: Tensor, labels: Tensor, weights: Tensor, random: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Deform images (S, D, H, W) smoothly, and labels and weights (D, H, W) alike.

    What MONAI's Rand3DElastic does, with its smoothing (five sixths of the time) left to scipy, and once for all maps.
    """
    size = labels.shape
    noise = random.uniform(-1.0, 1.0, (3, *size)).astype(np.float32)
    axes = [np.arange(n, dtype=np.float32) for n in size]
    places = np.stack(np.meshgrid(*axes, indexing="ij"))
    for place, field in zip(places, noise, strict=True):
        smooth = gaussian_filter(field, _ELASTIC_SIGMA_VOXELS, mode="constant", truncate=3.0)
        place += _ELASTIC_MAGNITUDE * smooth
    scale = (2.0 / np.array(size, np.float32))[:, None, None, None]
    grid = torch.from_numpy(((places + 0.5) * scale - 1.0)[::-1].copy()).to(images.device)
    grid = grid.movedim(0, -1)[None]
    marks = torch.stack([labels.float(), 1 - weights])[None]
    bent = F.grid_sample(images[None], grid, mode="bilinear", align_corners=False)[0]
    label, doubt = F.grid_sample(marks, grid, mode="nearest", align_corners=False)[0]
    return bent, label.to(labels.dtype), 1 - doubt


def bias_field(image: Tensor, random: np.random.Generator) -> Tensor:
    """Multiply an image (D, H, W) by a smooth field, as a receiver coil does."""
    return _apply(RandBiasField(degree=3, coeff_range=(0.0, 0.1), prob=1.0), image, random)


def k_space_spike(image: Tensor, random: np.random.Generator) -> Tensor:
    """Add the stripes of a spike in the raw data of an image (D, H, W)."""
    return _apply(RandKSpaceSpikeNoise(prob=1.0), image, random)


def _apply(transform: RandomizableTransform, image: Tensor, random: np.random.Generator) -> Tensor:
    """A transform of MONAI's, on the processor, without its metadata."""
    transform.set_random_state(int(random.integers(2**32)))
    changed = transform(image[None].cpu())
    plain = changed.as_tensor() if isinstance(changed, MetaTensor) else changed
    return torch.as_tensor(plain, dtype=torch.float32)[0].to(image.device)
