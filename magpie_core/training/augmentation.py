"""Random boxes of a sample, bent, flipped and recolored, as a network may meet them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from magpie_core.training.faint_lesion import fade_lesion
from magpie_core.training.sample import MODALITIES, Box, Sample
from magpie_core.training.scanner_effects import bend, bias_field, k_space_spike


@dataclass(frozen=True)
class Augmentation:
    """Ranges and probabilities; a probability of 0 switches an effect off.

    Attributes
    ----------
    tumor_share
        Share of boxes centerd on tumor rather than anywhere in the brain.
    affine
        Probability of a rotation (degrees), scaling and shift of the box.
    gain, shift
        Standard deviation of a factor and an offset on each modality.
    gamma, noise, blur, bias_field, k_space_spike
        Probability of each, per modality.
    noise_range
        Standard deviations that noise is drawn from.
    elastic
        Probability of a smooth deformation.
    faint, faintness
        Probability that the tumor is made fainter, and how much of its contrast is taken off then (`fade_lesion`).
    drop
        Probability that modalities are dropped at all; then each goes with `drop_each`.
    """

    tumor_share: float = 0.75
    affine: float = 0.0
    rotation_deg: float = 15.0
    scaling: float = 0.15
    gain: float = 0.12
    shift: float = 0.12
    gamma: float = 0.0
    noise: float = 0.0
    noise_range: tuple[float, float] = (0.02, 0.15)
    blur: float = 0.0
    bias_field: float = 0.0
    k_space_spike: float = 0.0
    elastic: float = 0.0
    faint: float = 0.0
    faintness: tuple[float, float] = (0.3, 0.75)
    drop: float = 0.5
    drop_each: float = 0.4


def draw_patch(
    sample: Sample,
    size: tuple[int, int, int],
    options: Augmentation,
    random: np.random.Generator,
    *,
    known: Sequence[int] = range(len(MODALITIES)),
    device: str = "cpu",
) -> Box:
    """Cut one box and augment it on `device`; one of the `known` modalities at least is not dropped."""
    box = _random_box(sample, size, options, random, device)
    images, labels, weights = box.images, box.labels, box.weights
    if random.random() < options.elastic:
        images, labels, weights = bend(images, labels, weights, random)
    inside = images.abs().amax(dim=0) > 0.02
    # No draw where the effect is off: a seed then gives the boxes it has always given.
    if options.faint and random.random() < options.faint:
        images = fade_lesion(images, labels, float(random.uniform(*options.faintness)))
    images = recolor(images, options, random) * inside
    if random.random() < 0.5:
        images, labels, weights = images.flip(1), labels.flip(0), weights.flip(0)
    present = box.present
    if random.random() < options.drop:
        kept = random.random(len(images)) >= options.drop_each
        if not kept[list(known)].any():
            kept[known[int(random.integers(len(known)))]] = True
        present = torch.from_numpy(kept)
        images = images * present[:, None, None, None].to(device)
    return Box(images.contiguous(), labels.contiguous(), weights.contiguous(), present)


def _random_box(
    sample: Sample,
    size: tuple[int, int, int],
    options: Augmentation,
    random: np.random.Generator,
    device: str,
) -> Box:
    whole = all(n >= full for n, full in zip(size, sample.shape, strict=True))
    center = np.array(sample.shape) // 2 if whole else _center(sample, size, options, random)
    return cut_patch(sample, center, size, options, random, device=device)


def cut_patch(
    sample: Sample,
    center: np.ndarray,
    size: tuple[int, int, int],
    options: Augmentation,
    random: np.random.Generator,
    *,
    device: str = "cpu",
) -> Box:
    """Cut the box of `size` around the voxel `center` (3,), turned and scaled where chance has it."""
    if random.random() >= options.affine:
        start = [int(c) - n // 2 for c, n in zip(center, size, strict=True)]
        return sample.box((start[0], start[1], start[2]), size, device=device)
    # A margin around the box keeps the corners of a turned box filled.
    larger = tuple(int(n * 1.25) for n in size)
    start = [int(c) - n // 2 for c, n in zip(center, larger, strict=True)]
    box = sample.box((start[0], start[1], start[2]), (larger[0], larger[1], larger[2]), device=device)
    angles = random.uniform(-options.rotation_deg, options.rotation_deg, 3) * math.pi / 180
    matrix = _rotation(angles) @ np.diag(random.uniform(1 - options.scaling, 1 + options.scaling, 3))
    # Grid coordinates run from -1 to 1 over the larger box, in the order W, H, D.
    ratio = np.array(size[::-1]) / np.array(larger[::-1])
    extent = np.array(larger[::-1], dtype=float)
    theta = np.zeros((3, 4))
    theta[:, :3] = np.diag(1 / extent) @ matrix @ np.diag(extent * ratio)
    turn = torch.from_numpy(theta[None]).float().to(device)
    grid = F.affine_grid(turn, [1, 1, *size], align_corners=False)
    images = F.grid_sample(box.images[None], grid, align_corners=False)[0]
    # What lies beyond counts in full, as outside.
    marks = torch.stack([box.labels.float(), 1 - box.weights])[None]
    labels, doubt = F.grid_sample(marks, grid, mode="nearest", align_corners=False)[0]
    return Box(images, labels.to(torch.uint8), 1 - doubt, box.present)


def _center(
    sample: Sample, size: tuple[int, int, int], options: Augmentation, random: np.random.Generator
) -> np.ndarray:
    places = sample.places(tumor=random.random() < options.tumor_share)
    if len(places) == 0:
        places = sample.places(tumor=False)
    reach = np.array(size) // 5
    center = places[random.integers(len(places))] + random.integers(-reach, reach + 1)
    half = np.array(size) // 2
    return np.clip(
        center, np.minimum(half, np.array(sample.shape) - half), np.maximum(half, sample.shape - half)
    )


def recolor(images: Tensor, options: Augmentation, random: np.random.Generator) -> Tensor:
    """Change the intensities of images (S, D, H, W), each on its own."""
    return torch.stack([_recolor(image, options, random) for image in images])


def _recolor(image: Tensor, options: Augmentation, random: np.random.Generator) -> Tensor:
    if random.random() < options.blur:
        image = _soften(image, random)
    if random.random() < options.gamma:
        low, high = image.amin(), image.amax()
        span = (high - low).clamp_min(1e-3)
        image = ((image - low) / span).pow(float(random.uniform(0.7, 1.4))) * span + low
    image = image * float(1 + options.gain * random.standard_normal()) + float(
        options.shift * random.standard_normal()
    )
    if random.random() < options.bias_field:
        image = bias_field(image, random)
    if random.random() < options.k_space_spike:
        image = k_space_spike(image, random)
    if random.random() < options.noise:
        image = image + torch.randn_like(image) * float(random.uniform(*options.noise_range))
    return image


def _soften(image: Tensor, random: np.random.Generator) -> Tensor:
    """Thick slices along one axis, enlarged again."""
    size = list(image.shape)
    thin = list(size)
    axis = int(random.integers(3))
    thin[axis] = max(8, round(size[axis] / float(random.uniform(1.5, 4.0))))
    thick = F.interpolate(image[None, None], size=thin, mode="area")
    return F.interpolate(thick, size=size, mode="trilinear", align_corners=False)[0, 0]


def _rotation(angles_rad: np.ndarray) -> np.ndarray:
    matrix = np.eye(3)
    for axis, angle in enumerate(angles_rad):
        first, second = [other for other in range(3) if other != axis]
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = math.cos(angle)
        turn[first, second], turn[second, first] = -math.sin(angle), math.sin(angle)
        matrix = matrix @ turn
    return matrix
