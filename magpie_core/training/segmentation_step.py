"""A step of teaching segmentation: a batch, a pass, and its loss against the outlines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from magpie_core.networks.output import NetworkOutput
from magpie_core.training.batch import Batch
from magpie_core.training.losses import Objective
from magpie_core.training.shared_routing import shared_routing
from magpie_core.training.step import Step


@dataclass(frozen=True)
class SegmentationStep:
    """Takes steps.

    Attributes
    ----------
    draw_batch
        Gives the next batch, from the share of the budget that is spent (0 to 1) and a generator, the same in every
        process: they agree by it on the boxes' size, and draw boxes of their own by its `ranks.places`.
    objective
        What to minimize, given the output, the targets, the spent share and the voxels' weights.
    regions
        Names of the output's channels.
    device
        Where the network is.
    """

    draw_batch: Callable[[float, np.random.Generator], Batch]
    objective: Callable[[NetworkOutput, Tensor, float, Tensor | None], Objective]
    regions: Sequence[str]
    device: str

    def __call__(self, forward: Callable[..., Any], spent: float, random: np.random.Generator) -> Step:
        """Loss and Dice of one batch; every process draws its own."""
        batch = self.draw_batch(spent, random)
        output: NetworkOutput = forward(
            batch.images.to(self.device),
            batch.modalities,
            batch.present.to(self.device),
            at_backbone_resolution=batch.at_backbone_resolution,
        )
        output = _shared(output)
        voxels = None if batch.voxels is None else batch.voxels.to(self.device)
        result = self.objective(output, batch.targets.to(self.device), spent, voxels)
        dice = zip(self.regions, result.region_dice, strict=True)
        figures = {f"dice_{name}": value for name, value in dice} | result.figures
        return Step(result.loss, figures, output.routing)


def _shared(output: NetworkOutput) -> NetworkOutput:
    routing = tuple(shared_routing(decision) for decision in output.routing)
    return replace(output, routing=routing, own=tuple(_shared(expert) for expert in output.own))
