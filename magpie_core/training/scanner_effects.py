"""Effects of the MAGPIE paper's augmentation that MONAI has: smooth bending, bias field, spikes in k-space."""

from __future__ import annotations

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Rand3DElastic, RandBiasField, RandKSpaceSpikeNoise
from torch import Tensor

_ELASTIC_SIGMA_VOXELS = 10.0
_ELASTIC_MAGNITUDE = 250.0  # of uniform noise before smoothing: about 0.7 voxels after it


def bend(
    images: Tensor, labels: Tensor, weights: Tensor, random: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Deform images (S, D, H, W) smoothly, and labels and weights (D, H, W) alike."""
    seed = _seed(random)
    sigma = (_ELASTIC_SIGMA_VOXELS, _ELASTIC_SIGMA_VOXELS)
    magnitude = (_ELASTIC_MAGNITUDE, _ELASTIC_MAGNITUDE)

    def deform(maps: Tensor, mode: str) -> Tensor:
        transform = Rand3DElastic(
            sigma_range=sigma, magnitude_range=magnitude, prob=1.0, mode=mode, padding_mode="zeros"
        )
        transform.set_random_state(seed)
        return _plain(transform(maps))

    marks = deform(torch.stack([labels.float(), 1 - weights]), "nearest")
    return deform(images, "bilinear"), marks[0].to(labels.dtype), 1 - marks[1]


def bias_field(image: Tensor, random: np.random.Generator) -> Tensor:
    """Multiply an image (D, H, W) by a smooth field, as a receiver coil does."""
    transform = RandBiasField(degree=3, coeff_range=(0.0, 0.1), prob=1.0)
    transform.set_random_state(_seed(random))
    return _plain(transform(image[None]))[0]


def k_space_spike(image: Tensor, random: np.random.Generator) -> Tensor:
    """Add the stripes of a spike in the raw data of an image (D, H, W)."""
    transform = RandKSpaceSpikeNoise(prob=1.0)
    transform.set_random_state(_seed(random))
    return _plain(transform(image[None]))[0]


def _seed(random: np.random.Generator) -> int:
    return int(random.integers(2**32))


def _plain(maps: np.ndarray | Tensor) -> Tensor:
    """A tensor without MONAI's metadata."""
    return torch.as_tensor(maps.as_tensor() if isinstance(maps, MetaTensor) else maps, dtype=torch.float32)
