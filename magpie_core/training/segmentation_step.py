"""A training step of segmentation: a batch, a forward pass, and its loss against the reference segmentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from magpie_core.networks.magpie_net import NetworkOutput
from magpie_core.training.distributed import all_reduce_routing
from magpie_core.training.losses import LossOutput
from magpie_core.training.patch_sampling import BatchSampler
from magpie_core.training.training_step import StepOutput


@dataclass(frozen=True)
class SegmentationStep:
    """Draws a batch and computes loss and Dice.

    Attributes:
        draw_batch: Samples this rank's batch. The generator is the same in every rank: they agree by it on the patch
            size, and draw their own patches by `distributed.spawn_rngs`.
        loss: Gives what to minimize, from the output, the targets, the progress and the voxel weights.
    """

    draw_batch: BatchSampler
    loss: Callable[[NetworkOutput, Tensor, float, Tensor | None], LossOutput]
    regions: Sequence[str]
    device: str

    def __call__(self, forward: Callable[..., Any], progress: float, rng: np.random.Generator) -> StepOutput:
        """Compute loss and Dice of this rank's batch."""
        batch = self.draw_batch(progress, rng)
        output: NetworkOutput = forward(
            batch.images.to(self.device),
            batch.modalities,
            batch.present.to(self.device),
            at_backbone_resolution=batch.at_backbone_resolution,
        )
        output = _all_reduced(output)
        voxel_weights = None if batch.voxel_weights is None else batch.voxel_weights.to(self.device)
        result = self.loss(output, batch.targets.to(self.device), progress, voxel_weights)
        dice = zip(self.regions, result.region_dice, strict=True)
        metrics = {f"dice_{name}": value for name, value in dice} | result.metrics
        return StepOutput(result.loss, metrics, output.routing)


def _all_reduced(output: NetworkOutput) -> NetworkOutput:
    routing = tuple(all_reduce_routing(decision) for decision in output.routing)
    return replace(
        output, routing=routing, expert_outputs=tuple(_all_reduced(expert) for expert in output.expert_outputs)
    )
