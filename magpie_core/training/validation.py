"""Dice of a network on packed samples: quick, without windows, for watching a training and for sentinels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean

import torch
from torch import Tensor
from torch.nn import functional as F

from magpie_core.networks.build import Network
from magpie_core.networks.device import Device, choose_precision
from magpie_core.training.losses import region_targets
from magpie_core.training.sample import MODALITIES, Sample


@dataclass(frozen=True)
class Validation:
    """Early stopping.

    Attributes
    ----------
    samples
        At the body's resolution; not among those that teach.
    every_steps
        Time between looks.
    patience
        Training stops after so many looks in a row without a better mean Dice, and the best weights are the result.
    """

    samples: Sequence[Sample]
    every_steps: int = 100
    patience: int = 50

    def score(self, network: Network) -> float:
        """Mean Dice over samples and regions."""
        return mean(value for row in region_dice(network, self.samples) for value in row.values())


def region_dice(network: Network, samples: Sequence[Sample]) -> list[dict[str, float]]:
    """Dice by region of each whole sample at the body's resolution (BraTS rule for empty masks)."""
    rows = []
    for sample, regions in zip(samples, find_regions(network, samples), strict=True):
        found = regions.flatten(1)
        truth = region_targets(torch.from_numpy(sample.labels)).bool().flatten(1)
        size = (found.sum(1) + truth.sum(1)).tolist()
        overlap = (found & truth).sum(1).tolist()
        dice = [2 * both / total if total else 1.0 for both, total in zip(overlap, size, strict=True)]
        rows.append(dict(zip(network.config.regions, dice, strict=True)))
    return rows


def find_regions(network: Network, samples: Sequence[Sample]) -> Iterator[Tensor]:
    """Masks (K, D, H, W) bool of each whole sample at the body's resolution, at probabilities above a half."""
    config = network.config
    device = next(network.parameters()).device
    where = Device(str(device), choose_precision(str(device)))
    stride = config.stride // config.backbone_stride
    was_training = network.training
    network.eval()
    try:
        for sample in samples:
            shape = sample.shape
            images = sample.box((0, 0, 0), shape).images
            kept = [
                index
                for index, name in enumerate(MODALITIES)
                if name in config.modalities and images[index].any()
            ]
            padding = [amount for n in shape[::-1] for amount in (0, -n % stride)]
            padded = F.pad(images[None, kept], padding).to(device)
            with torch.inference_mode(), where.autocast():
                output = network(padded, [MODALITIES[index] for index in kept], at_backbone_resolution=True)
            yield output.logits[0, :, : shape[0], : shape[1], : shape[2]].cpu() > 0
    finally:
        network.train(was_training)
