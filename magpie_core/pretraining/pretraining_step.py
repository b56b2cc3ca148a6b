"""A step of pretraining: views, a pass, and the losses of reconstruction, contrast and routing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from magpie_core.errors import InputError
from magpie_core.pretraining.config import PretrainingConfig
from magpie_core.pretraining.contrastive_loss import nt_xent
from magpie_core.pretraining.masked_autoencoder import Reconstruction
from magpie_core.pretraining.views import View, draw_views
from magpie_core.training import distributed
from magpie_core.training.sample import MODALITIES, Sample
from magpie_core.training.sample_source import SampleSource
from magpie_core.training.shared_routing import shared_routing
from magpie_core.training.step import Step

_MOST_DRAWS = 200


@dataclass(frozen=True)
class ViewBatch:
    """Views of one step in one process, stacked; `places` and `subjects` are (B,) integers, the rest as in `View`."""

    images: Tensor
    targets: Tensor
    visible: Tensor
    present: Tensor
    modalities: tuple[str, ...]
    places: Tensor
    subjects: Tensor


class PretrainingStep:
    """L = reconstruction + contrast + balance of the experts, with the recipe's weights.

    Each place of the step has a generator of its own, by its number over all processes, so that two processes of n
    places take the same step as one of 2 n.

    Parameters
    ----------
    source
        Samples to draw from.
    recipe
        Views, masks and weights.
    modalities
        Sequence that the network knows.
    device
        Where it is.
    """

    def __init__(
        self, source: SampleSource, recipe: PretrainingConfig, modalities: Sequence[str], device: str
    ) -> None:
        self._source = source
        self._recipe = recipe
        self._known = tuple(modalities)
        self._device = device

    def __call__(self, forward: Callable[..., Any], spent: float, random: np.random.Generator) -> Step:
        """Losses of one batch."""
        recipe, device = self._recipe, self._device
        batch = self.draw(random, agree=distributed.anywhere)
        targets, visible = batch.targets.to(device), batch.visible.to(device)
        present = batch.present.to(device)
        found: Reconstruction = forward(batch.images.to(device), visible, batch.modalities, present)
        error = reconstruction_error(
            found.images, targets, None if not recipe.hidden_only else visible, present
        ).mean()
        embeddings = distributed.gathered(found.embedding.float())
        if recipe.centerd:
            embeddings = embeddings - embeddings.mean(dim=0)
        places, subjects = (distributed.gathered(part.to(device)) for part in (batch.places, batch.subjects))
        contrast = nt_xent(embeddings, places, subjects, temperature=recipe.temperature)
        routing = tuple(shared_routing(decision) for decision in found.routing)
        loss = recipe.reconstruction * error + recipe.contrast * contrast
        for decision in routing:
            term = recipe.balance * decision.balance_loss + recipe.router_z * decision.z_loss
            loss = loss + term / len(routing)
        figures: dict[str, float | Tensor] = {"reconstruction": error.detach(), "contrast": contrast.detach()}
        return Step(loss, figures, routing)

    def draw(
        self, random: np.random.Generator, *, agree: Callable[[Tensor], Tensor] = torch.clone
    ) -> ViewBatch:
        """The views of this process; with `agree`, which all must ask, of the modalities that any process has."""
        recipe = self._recipe
        first = distributed.number() * recipe.subjects
        views: list[View] = []
        for generator in distributed.places(random, recipe.subjects):
            views += draw_views(self._draw_readable(generator), recipe, generator, self._known)
        present = torch.stack([view.present for view in views])
        there = agree(present.any(dim=0))
        kept = [index for index, name in enumerate(MODALITIES) if name in self._known and there[index]]
        return ViewBatch(
            torch.stack([view.images for view in views])[:, kept],
            torch.stack([view.targets for view in views])[:, kept],
            torch.stack([view.visible for view in views])[:, None],
            present[:, kept],
            tuple(MODALITIES[index] for index in kept),
            torch.arange(first, first + recipe.subjects).repeat_interleave(recipe.views),
            torch.tensor([view.subject for view in views]),
        )

    def _draw_readable(self, random: np.random.Generator) -> Sample:
        """A sample with a modality that the network knows."""
        for _ in range(_MOST_DRAWS):
            sample = self._source.draw(random)
            if any(name in self._known for name in sample.modalities):
                return sample
        raise InputError(
            "There is no study that this network can read",
            cause=f"it knows {', '.join(self._known)}, which none of {_MOST_DRAWS} studies has",
            remedy="Use a network with these modalities (--network), or other studies",
        )


def reconstruction_error(drawn: Tensor, targets: Tensor, visible: Tensor | None, present: Tensor) -> Tensor:
    """Mean squared error (B,) of each view's present modalities, over what was hidden or, without `visible`, over all.

    `drawn` and `targets` are (B, S, D, H, W), `visible` (B, 1, D, H, W) bool, `present` (B, S) bool.
    """
    weight = present[:, :, None, None, None].float()
    weight = weight * (torch.ones_like(targets[:, :1]) if visible is None else (~visible).float())
    squared = (drawn.float() - targets).square() * weight
    return squared.flatten(1).sum(dim=1) / weight.flatten(1).sum(dim=1).clamp_min(1.0)
