"""The two recipes behind the default weights: synthetic studies first, then real cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from magpie_core.errors import InputError
from magpie_core.networks.build import Network
from magpie_core.networks.mixture_of_experts import MixtureOfExperts
from magpie_core.networks.mome_net import MomeNet
from magpie_core.training import distributed
from magpie_core.training.augmentation import Augmentation, draw_patch
from magpie_core.training.loop import Batch, LoopOptions, train
from magpie_core.training.losses import (
    LossWeights,
    curriculum_loss,
    region_loss,
    region_targets,
)
from magpie_core.training.sample import MODALITIES, Box, Sample
from magpie_core.training.sample_source import SampleSource
from magpie_core.training.validation import Validation

Progress = Callable[[float, dict[str, float]], None]


@dataclass(frozen=True)
class SyntheticPatches:
    """Training the body on synthetic studies at its own resolution.

    Attributes
    ----------
    box
        Size of a training box at 2 mm; whole brains (`whole_box`) instead from `whole_from` of the budget on, and now
        and then before. A body that works at 1 mm gets boxes of the same millimeters.
    boxes
        Per step and process.
    """

    box: tuple[int, int, int] = (48, 64, 48)
    whole_box: tuple[int, int, int] = (80, 96, 80)
    whole_from: float = 0.8
    whole_before: float = 0.05
    boxes: int = 1
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass(frozen=True)
class CasePatches:
    """Training on real cases, mixed with synthetic ones against forgetting.

    First the body alone, on the cases at its own resolution, where a step costs a third; then all of the network.

    Attributes
    ----------
    backbone_until
        Share of the budget that goes to the body alone, where that is coarser than the cases.
    replay
        Share of steps on synthetic studies.
    whole_share
        Share of real steps on the whole brain.
    hold_routers_until
        Share of the budget for which the experts' routers stay as they are.
    boxes
        Per step and process, all of one size.
    weights
        Of the terms of the objective.
    """

    backbone_until: float = 0.6
    box: tuple[int, int, int] = (96, 128, 96)
    whole_box: tuple[int, int, int] = (160, 192, 160)
    whole_share: float = 0.12
    replay: float = 0.25
    hold_routers_until: float = 0.0
    boxes: int = 1
    weights: LossWeights = LossWeights(expert_overlap=2.0)
    augmentation: Augmentation = field(
        default_factory=lambda: Augmentation(
            affine=0.5, gamma=0.3, noise=0.3, blur=0.15, faint=0.25, drop=0.3
        )
    )


PLAIN_PATCHES = CasePatches(
    weights=LossWeights(), augmentation=replace(CasePatches().augmentation, faint=0.0)
)
"""Neither faint tumors nor experts that divide the tumor: how the body of the default model was taught."""

PAPER_PATCHES = CasePatches(
    backbone_until=0.0,
    box=(128, 128, 128),
    whole_share=0.0,
    replay=0.0,
    boxes=2,
    weights=LossWeights(),
    augmentation=Augmentation(
        affine=1.0,
        rotation_deg=15.0,
        scaling=0.1,
        elastic=0.3,
        gain=0.0,
        shift=0.1,
        noise=0.5,
        bias_field=0.3,
        k_space_spike=0.1,
        drop=0.0,
    ),
)
"""The boxes of the MAGPIE paper's fine-tuning."""


def train_on_synthetic(
    network: Network,
    ring: SampleSource,
    folder: Path,
    options: LoopOptions,
    *,
    recipe: SyntheticPatches | None = None,
    device: str = "cpu",
    on_progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Teach the body from synthetic studies alone; returns the averaged weights."""
    recipe = recipe or SyntheticPatches()

    def draw(spent: float, random: np.random.Generator) -> Batch:
        whole = spent > recipe.whole_from or random.random() < recipe.whole_before
        size = _at_backbone(recipe.whole_box if whole else recipe.box, network)
        boxes = _draw_boxes(ring.draw, recipe.boxes, size, recipe.augmentation, random, network, device)
        return _batch(boxes, network, at_backbone_resolution=True)

    return _train(network, draw, folder, options, device, None, on_progress)


def train_on_cases(
    network: Network,
    cases: list[Sample],
    ring: SampleSource | None,
    folder: Path,
    options: LoopOptions,
    *,
    recipe: CasePatches | None = None,
    validation: Validation | None = None,
    device: str = "cpu",
    on_progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Teach the whole network from packed real cases, with replay from `ring`; returns the averaged weights.

    Raises
    ------
    InputError
        If a case has none of the modalities that the network knows.
    MagpieError
        As `train`.
    """
    recipe = recipe or CasePatches()
    known = network.config.modalities
    for case in cases:
        if not set(case.modalities) & set(known):
            raise InputError(
                "The case cannot teach this model",
                cause=f"it has none of the modalities that the model knows: {', '.join(known)}",
                remedy="Leave the case out",
                source=case.name,
            )
    replay_recipe = SyntheticPatches()
    routers = [part.router for part in network.modules() if isinstance(part, MixtureOfExperts)]
    coarser = network.config.backbone_stride == 2
    coarse_cases = [case.halved() for case in cases] if coarser else []

    def draw(spent: float, random: np.random.Generator) -> Batch:
        if recipe.hold_routers_until > 0:
            for router in routers:
                router.requires_grad_(spent >= recipe.hold_routers_until)
        if ring is not None and random.random() < recipe.replay:
            size = _at_backbone(replay_recipe.box, network)
            boxes = _draw_boxes(
                ring.draw, recipe.boxes, size, replay_recipe.augmentation, random, network, device
            )
            return _batch(boxes, network, at_backbone_resolution=True)
        backbone_only = coarser and spent < recipe.backbone_until
        pool = coarse_cases if backbone_only else cases
        size = recipe.whole_box if random.random() < recipe.whole_share else recipe.box
        if backbone_only:
            size = (size[0] // 2, size[1] // 2, size[2] // 2)

        def any_case(random: np.random.Generator) -> Sample:
            return pool[random.integers(len(pool))]

        boxes = _draw_boxes(any_case, recipe.boxes, size, recipe.augmentation, random, network, device)
        return _batch(boxes, network, at_backbone_resolution=backbone_only)

    return _train(network, draw, folder, options, device, validation, on_progress, recipe.weights)


def interpolate_weights(
    weights: Mapping[str, Tensor], start: Mapping[str, Tensor], share: float
) -> dict[str, Tensor]:
    """Taught weights averaged with those the teaching started from; `share` of the latter, 0 to 1.

    With few real cases the average is more robust than either (weight averaging, FetalSynthSeg).
    """
    return {name: torch.lerp(value, start[name], share) for name, value in weights.items()}


def _train(
    network: Network,
    draw: Callable[[float, np.random.Generator], Batch],
    folder: Path,
    options: LoopOptions,
    device: str,
    validation: Validation | None,
    on_progress: Progress | None,
    weights: LossWeights | None = None,
) -> dict[str, Tensor]:
    objective = partial(
        curriculum_loss if isinstance(network, MomeNet) else region_loss,
        weights=weights or LossWeights(),
    )
    return train(
        network,
        draw,
        folder,
        options,
        objective=objective,
        validation=validation,
        device=device,
        on_progress=on_progress,
    )


def _draw_boxes(
    draw: Callable[[np.random.Generator], Sample],
    count: int,
    size: tuple[int, int, int],
    augmentation: Augmentation,
    random: np.random.Generator,
    network: Network,
    device: str,
) -> list[Box]:
    """This process's boxes of a step; all of them together are what one process with as many would draw."""
    known = _known(network)
    # A network of one modality cannot do without it.
    augmentation = replace(augmentation, drop=0.0) if len(known) == 1 else augmentation
    if count * distributed.count() == 1:  # a lone box has always followed the step's own generator
        return [draw_patch(draw(random), size, augmentation, random, known=known, device=device)]
    boxes = []
    for place in distributed.places(random, count):
        torch.manual_seed(int(place.integers(2**63)))
        boxes.append(draw_patch(draw(place), size, augmentation, place, known=known, device=device))
    return boxes


def _at_backbone(size: tuple[int, int, int], network: Network) -> tuple[int, int, int]:
    """A size at twice the cases' voxel size, in voxels of the body."""
    times = 2 // network.config.backbone_stride
    return size[0] * times, size[1] * times, size[2] * times


def _known(network: Network) -> list[int]:
    """Which of `MODALITIES` the network knows."""
    return [index for index, name in enumerate(MODALITIES) if name in network.config.modalities]


def _batch(boxes: list[Box], network: Network, *, at_backbone_resolution: bool) -> Batch:
    """A batch of boxes, of the modalities that any box of the step has and that the network knows."""
    known = _known(network)
    images = torch.stack([box.images for box in boxes])[:, known]
    present = torch.stack([box.present for box in boxes])[:, known]
    # A modality that the case lacks is zero everywhere.
    filled = images.flatten(2).any(dim=2).cpu()
    present = present & (filled | ~filled.any(dim=1, keepdim=True))
    # All processes take the same ones: the network's parts, and what is exchanged of them, follow from the modalities.
    there = distributed.anywhere(present.any(dim=0))
    kept = [place for place in range(len(known)) if there[place]]
    return Batch(
        images[:, kept],
        torch.stack([region_targets(box.labels) for box in boxes]),
        present[:, kept],
        tuple(MODALITIES[known[place]] for place in kept),
        at_backbone_resolution,
        torch.stack([box.weights for box in boxes])[:, None],
    )
