"""Views of a place in a brain: cut close to one another, each augmented and masked on its own."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from magpie_core.pretraining.config import PretrainingConfig
from magpie_core.pretraining.masking import visible_blocks
from magpie_core.training.augmentation import cut_patch, recolor
from magpie_core.training.sample import MODALITIES, Sample
from magpie_core.training.scanner_effects import bend

_AIR = 0.02


@dataclass(frozen=True)
class View:
    """One view.

    Attributes
    ----------
    images, targets
        (S, D, H, W): what the network is given, before masking, and what it is to draw; zero in the air and where a
        modality is absent.
    visible
        (D, H, W) bool: where the network may look.
    present
        (S,) bool.
    subject
        A number for the subject's name.
    """

    images: Tensor
    targets: Tensor
    visible: Tensor
    present: Tensor
    subject: int


def draw_views(
    sample: Sample,
    recipe: PretrainingConfig,
    random: np.random.Generator,
    known: Sequence[str] = MODALITIES,
) -> list[View]:
    """Views around one place of the sample's brain; whatever is random, torch's noise too, follows `random`.

    Of the modalities, those that are `known` count as present where the study has them.
    """
    torch.manual_seed(int(random.integers(2**63)))
    places = sample.places(tumor=False)
    place = places[random.integers(len(places))] if len(places) else np.array(sample.shape) // 2
    # A box that would hang out of the study is moved inside, as far as it fits.
    half, shape, size = np.array(recipe.box) // 2, np.array(sample.shape), np.array(recipe.box)
    place = np.where(shape > size, np.clip(place, half, shape - half), shape // 2)
    mirrored = random.random() < 0.5
    readable = torch.tensor([name in known for name in MODALITIES])
    return [_view(sample, place, recipe, readable, mirrored, random) for _ in range(recipe.views)]


def _view(
    sample: Sample,
    place: np.ndarray,
    recipe: PretrainingConfig,
    readable: Tensor,
    mirrored: bool,
    random: np.random.Generator,
) -> View:
    options = recipe.augmentation
    reach = np.floor(recipe.jitter * np.array(recipe.box)).astype(int)
    box = cut_patch(sample, place + random.integers(-reach, reach + 1), recipe.box, options, random)
    images = box.images
    if random.random() < options.elastic:
        images, *_ = bend(images, box.labels, box.weights, random)
    if mirrored:
        images = images.flip(1)
    inside = images.abs().amax(dim=0) > _AIR
    if recipe.unit_range:
        images = _to_unit_range(images, sample)
    clean = images * inside
    images = recolor(images, options, random) * inside
    # A modality that the study lacks is zero everywhere.
    present = clean.flatten(1).any(dim=1) & readable
    if not present.any():
        present = readable
    if random.random() < options.drop:
        kept = present & torch.from_numpy(random.random(len(present)) >= options.drop_each)
        if not kept.any():
            kept[random.choice(np.flatnonzero(present))] = True
        present = kept
    there = present[:, None, None, None]
    images = images * there
    return View(
        images,
        clean * there if recipe.clean_target else images,
        visible_blocks(inside, edge=recipe.block, hidden=recipe.hidden, random=random),
        present,
        zlib.crc32(sample.name.encode()),
    )


def _to_unit_range(images: Tensor, sample: Sample) -> Tensor:
    """Scaled so that each modality of the whole study runs from 0 to 1 in its brain."""
    whole = sample.box((0, 0, 0), sample.shape).images
    scaled = []
    for image, study in zip(images, whole, strict=True):
        brain = study[study.abs() > _AIR]
        low, high = (brain.min(), brain.max()) if len(brain) else (torch.zeros(()), torch.ones(()))
        scaled.append(((image - low) / (high - low).clamp_min(1e-3)).clamp(0, 1))
    return torch.stack(scaled)
