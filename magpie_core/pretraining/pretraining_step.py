"""A training step of pretraining: views, a forward pass, and the losses of reconstruction, contrast and routing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from magpie_core.errors import InputError
from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES
from magpie_core.pretraining.config import PretrainingConfig
from magpie_core.pretraining.masked_autoencoder import Reconstruction
from magpie_core.pretraining.views import View, draw_views
from magpie_core.training import distributed
from magpie_core.training.loop import StepOutput
from magpie_core.training.sample import Sample, SampleSource

_MOST_DRAWS = 200


@dataclass(frozen=True)
class ViewBatch:
    """Views of one step in one rank, stacked; `locations` and `subjects` are (B,) integers, the rest as in `View`."""

    images: Tensor
    targets: Tensor
    visible: Tensor
    present: Tensor
    modalities: tuple[str, ...]
    locations: Tensor
    subjects: Tensor


@dataclass
class PretrainingStep:
    """L = reconstruction + contrast + load balance of the experts, with the configuration's weights.

    Each subject of the step has its own random generator, by its number over all ranks, so that two ranks of n subjects
    take the same step as one of 2 n.
    """

    source: SampleSource
    config: PretrainingConfig
    modalities: Sequence[str]
    device: str

    def __call__(self, forward: Callable[..., Any], progress: float, rng: np.random.Generator) -> StepOutput:
        """Compute the losses of one batch."""
        config, device = self.config, self.device
        batch = self.draw(rng, reduce_any=distributed.all_reduce_any)
        targets, visible = batch.targets.to(device), batch.visible.to(device)
        present = batch.present.to(device)
        output: Reconstruction = forward(batch.images.to(device), visible, batch.modalities, present)
        error = reconstruction_error(output.images, targets, visible if config.masked_only else None, present).mean()
        embeddings = distributed.all_gather(output.embedding.float())
        if config.center_embeddings:
            embeddings = embeddings - embeddings.mean(dim=0)
        locations, subjects = (distributed.all_gather(part.to(device)) for part in (batch.locations, batch.subjects))
        contrast = nt_xent(embeddings, locations, subjects, temperature=config.temperature)
        routing = tuple(distributed.all_reduce_routing(decision) for decision in output.routing)
        loss = config.reconstruction * error + config.contrast * contrast
        for decision in routing:
            term = config.balance * decision.balance_loss + config.router_z * decision.z_loss
            loss = loss + term / len(routing)
        metrics: dict[str, float | Tensor] = {"reconstruction": error.detach(), "contrast": contrast.detach()}
        return StepOutput(loss, metrics, routing)

    def draw(self, rng: np.random.Generator, *, reduce_any: Callable[[Tensor], Tensor] = torch.clone) -> ViewBatch:
        """Draw this rank's views, in the modalities that, by `reduce_any`, any rank has (a collective operation)."""
        config = self.config
        first = distributed.rank() * config.batch_size
        views: list[View] = []
        for generator in distributed.spawn_rngs(rng, config.batch_size):
            views += draw_views(self._draw_readable(generator), config, generator, self.modalities)
        present = torch.stack([view.present for view in views])
        in_any = reduce_any(present.any(dim=0))
        kept = [index for index, name in enumerate(GLIOMA_MODALITY_NAMES) if name in self.modalities and in_any[index]]
        return ViewBatch(
            torch.stack([view.images for view in views])[:, kept],
            torch.stack([view.targets for view in views])[:, kept],
            torch.stack([view.visible for view in views])[:, None],
            present[:, kept],
            tuple(GLIOMA_MODALITY_NAMES[index] for index in kept),
            torch.arange(first, first + config.batch_size).repeat_interleave(config.views),
            torch.tensor([view.subject for view in views]),
        )

    def _draw_readable(self, rng: np.random.Generator) -> Sample:
        """Draw a sample with a modality that the network knows."""
        for _ in range(_MOST_DRAWS):
            sample = self.source.draw(rng)
            if any(name in self.modalities for name in sample.modalities):
                return sample
        raise InputError(
            "No study has a modality that this network knows",
            cause=f"it knows {', '.join(self.modalities)}, which none of {_MOST_DRAWS} drawn studies has",
            remedy="Use a network with these modalities (--network), or other studies",
        )


def reconstruction_error(images: Tensor, targets: Tensor, visible: Tensor | None, present: Tensor) -> Tensor:
    """Compute the mean squared error (B,) of each view's present modalities where masked; without `visible`, anywhere.

    `images` and `targets` are (B, S, D, H, W), `visible` (B, 1, D, H, W) bool, `present` (B, S) bool.
    """
    weight = present[:, :, None, None, None].float()
    weight = weight * (torch.ones_like(targets[:, :1]) if visible is None else (~visible).float())
    squared = (images.float() - targets).square() * weight
    return squared.flatten(1).sum(dim=1) / weight.flatten(1).sum(dim=1).clamp_min(1.0)


def nt_xent(embeddings: Tensor, locations: Tensor, subjects: Tensor, *, temperature: float = 0.1) -> Tensor:
    """Compute NT-Xent (SimCLR, arXiv 2002.05709, equation 1) with any number of views of a location.

    A view's positives are the other views of its location, each in turn against its negatives: the views of other
    subjects. Another location of the same subject is neither, for it may overlap. With two views of each of N
    subjects this is NT-Xent as published, with 2 N - 2 negatives.

    Args:
        embeddings: (N, E); only their directions matter.
        locations, subjects: (N,) integers: views with the same number show the same location, or the same subject.
        temperature: tau.

    Returns:
        Tensor: Mean over all ordered pairs of a location's views; 0 if no location has two.
    """
    directions = F.normalize(embeddings.float(), dim=1)
    similarity = directions @ directions.T / temperature
    positive = locations[:, None] == locations[None]
    positive.fill_diagonal_(False)
    negative = subjects[:, None] != subjects[None]
    against = similarity.masked_fill(~negative, -torch.inf).logsumexp(dim=1, keepdim=True)
    terms = torch.logaddexp(similarity, against) - similarity
    return torch.where(positive, terms, 0.0).sum() / positive.sum().clamp_min(1)
