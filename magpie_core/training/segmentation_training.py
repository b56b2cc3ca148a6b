"""Train segmentation: on synthetic studies alone, then on real cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from magpie_core.errors import InputError
from magpie_core.networks.build import Network
from magpie_core.networks.magpie_net import NetworkOutput
from magpie_core.networks.mixture_of_experts import MixtureOfExperts
from magpie_core.networks.mome_net import MomeNet
from magpie_core.training.callbacks import EarlyStopping
from magpie_core.training.distributed import all_reduce_routing
from magpie_core.training.loop import Progress, StepOutput, optimize
from magpie_core.training.loop_options import LoopOptions
from magpie_core.training.losses import LossOutput, LossWeights, curriculum_loss, region_loss
from magpie_core.training.patch_sampling import Batch, BatchSampler, CasePatches, case_batches
from magpie_core.training.sample import Sample, SampleSource
from magpie_core.training.validation import DiceValidator


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


def train_on_cases(
    network: Network,
    cases: list[Sample],
    synthetic: SampleSource | None,
    folder: Path,
    options: LoopOptions,
    *,
    patches: CasePatches | None = None,
    validator: DiceValidator | None = None,
    device: str = "cpu",
    on_progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Train the whole network on packed real cases, mixed with `synthetic` studies; return the EMA weights.

    Raises:
        InputError: If a case has none of the modalities that the network knows.
    """
    patches = patches or CasePatches()
    known = network.config.modalities
    for case in cases:
        if not set(case.modalities) & set(known):
            raise InputError(
                "Cannot train this model on the case",
                cause=f"it has none of the modalities that the model knows: {', '.join(known)}",
                remedy="Leave the case out",
                source=case.name,
            )
    routers = [part.router for part in network.modules() if isinstance(part, MixtureOfExperts)]
    sample_batch = case_batches(cases, synthetic, patches, network, device)

    def draw_batch(progress: float, rng: np.random.Generator) -> Batch:
        if patches.freeze_routers_until > 0:
            for router in routers:
                router.requires_grad_(progress >= patches.freeze_routers_until)
        return sample_batch(progress, rng)

    return train(
        network,
        draw_batch,
        folder,
        options,
        weights=patches.loss_weights,
        validator=validator,
        device=device,
        on_progress=on_progress,
    )


def train(
    network: Network,
    draw_batch: BatchSampler,
    folder: Path,
    options: LoopOptions,
    *,
    weights: LossWeights | None = None,
    validator: DiceValidator | None = None,
    device: str = "cpu",
    on_progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Train `network` in place on batches of `draw_batch`, with the loss of its kind of network; see `optimize`."""
    loss = partial(curriculum_loss if isinstance(network, MomeNet) else region_loss, weights=weights or LossWeights())
    training_step = SegmentationStep(draw_batch, loss, network.config.regions, device)
    callbacks = [EarlyStopping(validator)] if validator else []
    return optimize(
        network, training_step, folder, options, callbacks=callbacks, device=device, on_progress=on_progress
    )


def interpolate_weights(
    weights: Mapping[str, Tensor], start: Mapping[str, Tensor], start_fraction: float
) -> dict[str, Tensor]:
    """Interpolate trained weights with those that the training started from, the latter by `start_fraction` (0 to 1).

    With few real cases the interpolation is more robust than either (weight averaging, FetalSynthSeg).
    """
    return {name: torch.lerp(value, start[name], start_fraction) for name, value in weights.items()}
