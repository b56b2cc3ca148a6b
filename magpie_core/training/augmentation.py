"""Augmentation: random patches of a sample, deformed, flipped, with other intensities and missing modalities."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional as F

from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES
from magpie_core.synthesis.acquisition import BiasField, KSpaceSpike, apply_gamma, average_slices
from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.rng import Rng
from magpie_core.synthesis.volume_operations import rotation_matrix
from magpie_core.training.sample import Patch, Sample

_ELASTIC_SIGMA_VOXELS = 10.0
_ELASTIC_MAGNITUDE = 250.0  # of uniform noise before smoothing: about 0.7 voxels after it
_RIM_VOXELS = 5  # margin around the lesion whose mean is the target of the fading
_TEXTURE_VOXELS = 5  # finer structure is texture and is kept


@dataclass(frozen=True)
class Augmentation:
    """Probabilities and ranges; a probability of 0 switches a transform off.

    Attributes:
        tumor_fraction: Fraction of patches centered on tumor rather than anywhere in the brain.
        affine: Probability of a rotation (degrees) and scaling of the patch.
        gain, shift: Standard deviation of a factor and an offset on each modality.
        gamma, noise, thick_slices, bias_field, k_space_spike: Probability of each, per modality.
        noise_range: Range of the noise's standard deviation.
        elastic: Probability of an elastic deformation.
        faint, faintness: Probability that the tumor is faded, and the fraction of its contrast that is removed then
            (`fade_lesion`).
        drop, drop_each: Probability that modalities are dropped at all, and of each then.
        single: Whether all modalities of the study but one, drawn for each patch, are dropped.
    """

    tumor_fraction: float = 0.75
    affine: float = 0.0
    rotation_deg: float = 15.0
    scaling: float = 0.15
    gain: float = 0.12
    shift: float = 0.12
    gamma: float = 0.0
    noise: float = 0.0
    noise_range: tuple[float, float] = (0.02, 0.15)
    thick_slices: float = 0.0
    bias_field: float = 0.0
    k_space_spike: float = 0.0
    elastic: float = 0.0
    faint: float = 0.0
    faintness: tuple[float, float] = (0.3, 0.75)
    drop: float = 0.5
    drop_each: float = 0.4
    single: bool = False


def draw_patch(
    sample: Sample,
    size: tuple[int, int, int],
    options: Augmentation,
    rng: np.random.Generator,
    *,
    known: Sequence[int] = range(len(GLIOMA_MODALITY_NAMES)),
    device: str = "cpu",
) -> Patch:
    """Cut one patch and augment it on `device`; at least one of the `known` modalities is not dropped."""
    whole = all(n >= full for n, full in zip(size, sample.shape, strict=True))
    center = np.array(sample.shape) // 2 if whole else _draw_center(sample, size, options, rng)
    patch = cut_patch(sample, center, size, options, rng, device=device)
    images, labels, weights = patch.images, patch.labels, patch.weights
    if rng.random() < options.elastic:
        images, labels, weights = deform(images, labels, weights, rng)
    inside = images.abs().amax(dim=0) > 0.02
    # No draw where fading is off: the patches of a seed then do not depend on it.
    if options.faint and rng.random() < options.faint:
        images = fade_lesion(images, labels, float(rng.uniform(*options.faintness)))
    images = augment_intensities(images, options, rng) * inside
    if rng.random() < 0.5:
        images, labels, weights = images.flip(1), labels.flip(0), weights.flip(0)
    present = patch.present
    if options.single:
        there = [index for index in known if patch.images[index].any()] or list(known)
        present = torch.zeros(len(images), dtype=torch.bool)
        present[there[int(rng.integers(len(there)))]] = True
        images = images * present[:, None, None, None].to(device)
    elif rng.random() < options.drop:
        kept = rng.random(len(images)) >= options.drop_each
        if not kept[list(known)].any():
            kept[known[int(rng.integers(len(known)))]] = True
        present = torch.from_numpy(kept)
        images = images * present[:, None, None, None].to(device)
    return Patch(images.contiguous(), labels.contiguous(), weights.contiguous(), present)


def cut_patch(
    sample: Sample,
    center: np.ndarray,
    size: tuple[int, int, int],
    options: Augmentation,
    rng: np.random.Generator,
    *,
    device: str = "cpu",
) -> Patch:
    """Cut the patch of `size` around the voxel `center` (3,), at random rotated and scaled."""
    if rng.random() >= options.affine:
        start = [int(c) - n // 2 for c, n in zip(center, size, strict=True)]
        return sample.patch((start[0], start[1], start[2]), size, device=device)
    # A margin keeps the corners of a rotated patch filled.
    larger = tuple(int(n * 1.25) for n in size)
    start = [int(c) - n // 2 for c, n in zip(center, larger, strict=True)]
    patch = sample.patch((start[0], start[1], start[2]), (larger[0], larger[1], larger[2]), device=device)
    angles = rng.uniform(-options.rotation_deg, options.rotation_deg, 3) * math.pi / 180
    matrix = rotation_matrix(angles) @ np.diag(rng.uniform(1 - options.scaling, 1 + options.scaling, 3))
    # Grid coordinates run from -1 to 1 over the larger patch, in the order W, H, D.
    ratio = np.array(size[::-1]) / np.array(larger[::-1])
    extent = np.array(larger[::-1], dtype=float)
    theta = np.zeros((3, 4))
    theta[:, :3] = np.diag(1 / extent) @ matrix @ np.diag(extent * ratio)
    grid = F.affine_grid(torch.from_numpy(theta[None]).float().to(device), [1, 1, *size], align_corners=False)
    return Patch(*_resample(patch.images, patch.labels, patch.weights, grid), patch.present)


def deform(images: Tensor, labels: Tensor, weights: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Deform images (S, D, H, W), labels and weights (D, H, W) elastically, as the MAGPIE paper's training does.

    The same as MONAI's Rand3DElastic, but smoothed by scipy and computed once for all maps.
    """
    size = labels.shape
    noise = rng.uniform(-1.0, 1.0, (3, *size)).astype(np.float32)
    axes = [np.arange(n, dtype=np.float32) for n in size]
    points = np.stack(np.meshgrid(*axes, indexing="ij"))
    for coordinate, field in zip(points, noise, strict=True):
        smooth = gaussian_filter(field, _ELASTIC_SIGMA_VOXELS, mode="constant", truncate=3.0)
        coordinate += _ELASTIC_MAGNITUDE * smooth
    scale = (2.0 / np.array(size, np.float32))[:, None, None, None]
    grid = torch.from_numpy(((points + 0.5) * scale - 1.0)[::-1].copy()).to(images.device)
    return _resample(images, labels, weights, grid.movedim(0, -1)[None])


def fade_lesion(images: Tensor, labels: Tensor, strength: float) -> Tensor:
    """Remove a fraction of the lesion's contrast to the brain around it; its texture and extent are kept.

    Inside, the smooth part moves towards the brain's mean. At the border, with its partial volumes, each voxel's own
    difference from that mean shrinks, so that no outline is drawn.

    Args:
        images: (S, D, H, W), zero outside the brain and where a modality is absent.
        labels: (D, H, W), schema "magpie".
        strength: 0 (no fading) to 1 (only texture is left, a thin enhancing rim included).
    """
    lesion = labels > 0
    if not lesion.any():
        return images
    mask = lesion[None, None].float()
    smooth = partial(_separable, F.avg_pool3d, count_include_pad=False)
    surrounding = (_separable(F.max_pool3d, mask, 2 * _RIM_VOXELS + 1)[0, 0] > 0) & ~lesion
    inside = smooth(mask, _TEXTURE_VOXELS)[0, 0].clamp_min(1e-3)
    border = smooth(mask, 3)[0, 0]
    reach = torch.maximum(border, mask[0, 0])
    interior = (2 * border - 1).clamp_min(0) * lesion
    faded = []
    for image in images:
        around = image[surrounding & (image != 0)]
        if len(around) == 0:
            faded.append(image)
            continue
        difference = image - around.mean()
        level = smooth((difference * lesion)[None, None], _TEXTURE_VOXELS)[0, 0] / inside
        contrast = interior * level + (1 - interior) * difference
        faded.append(image - strength * reach * contrast * (image != 0))
    return torch.stack(faded)


def augment_intensities(images: Tensor, options: Augmentation, rng: np.random.Generator) -> Tensor:
    """Change the intensities of images (S, D, H, W), each modality independently."""
    return torch.stack([_augment_intensity(image, options, rng) for image in images])


def _augment_intensity(image: Tensor, options: Augmentation, rng: np.random.Generator) -> Tensor:
    if rng.random() < options.thick_slices:
        axis = int(rng.integers(3))
        slices = max(8, round(image.shape[axis] / float(rng.uniform(1.5, 4.0))))
        image = average_slices(image, axis, slices)
    if rng.random() < options.gamma:
        image = apply_gamma(image, float(rng.uniform(0.7, 1.4)), image.amin(), image.amax())
    image = image * float(1 + options.gain * rng.standard_normal()) + float(options.shift * rng.standard_normal())
    if rng.random() < options.bias_field:
        image = BiasField().apply(_canvas(image, rng), image.cpu()).to(image.device)
    if rng.random() < options.k_space_spike:
        image = image + KSpaceSpike().stripes(_canvas(image, rng), float(image.std())).to(image.device)
    if rng.random() < options.noise:
        # Gaussian, not Rician: z-scores are no magnitudes.
        image = image + torch.randn_like(image) * float(rng.uniform(*options.noise_range))
    return image


def _canvas(image: Tensor, rng: np.random.Generator) -> Canvas:
    """Return a grid of 1 mm on the CPU, seeded by one draw."""
    depth, height, width = image.shape
    return Canvas((depth, height, width), 1.0, Rng(int(rng.integers(2**32))))


def _draw_center(
    sample: Sample, size: tuple[int, int, int], options: Augmentation, rng: np.random.Generator
) -> np.ndarray:
    indices = sample.voxel_indices(tumor=rng.random() < options.tumor_fraction)
    if len(indices) == 0:
        indices = sample.voxel_indices(tumor=False)
    reach = np.array(size) // 5
    center = indices[rng.integers(len(indices))] + rng.integers(-reach, reach + 1)
    half = np.array(size) // 2
    return np.clip(center, np.minimum(half, np.array(sample.shape) - half), np.maximum(half, sample.shape - half))


def _resample(images: Tensor, labels: Tensor, weights: Tensor, grid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sample maps at a grid (1, D, H, W, 3); beyond them images and labels are 0, and weights 1."""
    resampled = F.grid_sample(images[None], grid, align_corners=False)[0]
    maps = torch.stack([labels.float(), 1 - weights])[None]
    label, lost = F.grid_sample(maps, grid, mode="nearest", align_corners=False)[0]
    return resampled, label.to(labels.dtype), 1 - lost


def _separable(pool: Callable[..., Tensor], volume: Tensor, width: int, **options: bool) -> Tensor:
    for kernel in ((width, 1, 1), (1, width, 1), (1, 1, width)):
        volume = pool(volume, kernel, 1, tuple(side // 2 for side in kernel), **options)
    return volume
