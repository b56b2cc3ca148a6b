"""The two recipes behind the default weights: synthetic studies first, then real cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from magpie_core.networks.magpie_net import MagpieNet
from magpie_core.training.augmentation import Augmentation, draw_box
from magpie_core.training.loop import Batch, LoopOptions, train
from magpie_core.training.objectives import region_targets
from magpie_core.training.sample import Sample
from magpie_core.training.synthetic_ring import SyntheticRing

Progress = Callable[[float, dict[str, float]], None]


@dataclass(frozen=True)
class SyntheticRecipe:
    """Training the body on synthetic studies of 2 mm.

    Attributes
    ----------
    box
        Size of a training box; whole brains instead from `whole_from` of the budget on (and now and then before).
    """

    box: tuple[int, int, int] = (48, 64, 48)
    whole_box: tuple[int, int, int] = (80, 96, 80)
    whole_from: float = 0.65
    whole_before: float = 0.05
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass(frozen=True)
class CaseRecipe:
    """Training all of the network on real cases of 1 mm, mixed with synthetic ones against forgetting.

    Attributes
    ----------
    replay
        Share of steps on synthetic studies.
    whole_share
        Share of real steps on the whole brain.
    """

    box: tuple[int, int, int] = (96, 128, 96)
    whole_box: tuple[int, int, int] = (160, 192, 160)
    whole_share: float = 0.12
    replay: float = 0.25
    augmentation: Augmentation = field(
        default_factory=lambda: Augmentation(affine=0.5, gamma=0.3, noise=0.3, blur=0.15, drop=0.3)
    )


def train_on_synthetic(
    network: MagpieNet,
    ring: SyntheticRing,
    folder: Path,
    options: LoopOptions,
    *,
    recipe: SyntheticRecipe | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Teach the body from synthetic studies alone; returns the averaged weights."""
    recipe = recipe or SyntheticRecipe()
    random = np.random.default_rng(seed)

    def draw(spent: float) -> Batch:
        whole = spent > recipe.whole_from or random.random() < recipe.whole_before
        size = recipe.whole_box if whole else recipe.box
        return _batch(draw_box(ring.draw(), size, recipe.augmentation, random), at_body_resolution=True)

    return train(network, draw, folder, options, on_progress=on_progress)


def train_on_cases(
    network: MagpieNet,
    cases: list[Sample],
    ring: SyntheticRing | None,
    folder: Path,
    options: LoopOptions,
    *,
    recipe: CaseRecipe | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Teach the whole network from packed real cases, with replay from `ring`; returns the averaged weights."""
    recipe = recipe or CaseRecipe()
    replay_recipe = SyntheticRecipe()
    random = np.random.default_rng(seed)

    def draw(spent: float) -> Batch:
        if ring is not None and random.random() < recipe.replay:
            boxed = draw_box(ring.draw(), replay_recipe.box, replay_recipe.augmentation, random)
            return _batch(boxed, at_body_resolution=True)
        case = cases[random.integers(len(cases))]
        size = recipe.whole_box if random.random() < recipe.whole_share else recipe.box
        return _batch(draw_box(case, size, recipe.augmentation, random), at_body_resolution=False)

    return train(network, draw, folder, options, on_progress=on_progress)


def _batch(boxed: tuple[Tensor, Tensor, Tensor], *, at_body_resolution: bool) -> Batch:
    images, labels, present = boxed
    return Batch(images[None], region_targets(labels)[None], torch.atleast_2d(present), at_body_resolution)
