"""Dice of a network on whole packed samples: without sliding windows, for early stopping and quick comparisons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES
from magpie_core.networks.build import Network
from magpie_core.networks.device import Device, choose_precision
from magpie_core.training.losses import region_targets
from magpie_core.training.sample import Sample


@dataclass(frozen=True)
class DiceValidator:
    """Early stopping by the mean Dice on validation samples.

    Attributes:
        samples: At the backbone's resolution; not among the training samples.
        patience: Training stops after so many validations in a row without a better mean Dice, and the best weights are
            the result.
    """

    samples: Sequence[Sample]
    every_steps: int = 100
    patience: int = 50

    def score(self, network: Any) -> float:
        """Return the mean Dice over samples and regions."""
        return mean(value for row in region_dice(network, self.samples) for value in row.values())


def region_dice(network: Network, samples: Sequence[Sample]) -> list[dict[str, float]]:
    """Compute Dice by region of each whole sample at the backbone's resolution (BraTS rule for empty masks)."""
    rows = []
    for sample, masks in zip(samples, predict_regions(network, samples), strict=True):
        predicted = masks.flatten(1)
        reference = region_targets(torch.from_numpy(sample.labels)).bool().flatten(1)
        sizes = (predicted.sum(1) + reference.sum(1)).tolist()
        overlaps = (predicted & reference).sum(1).tolist()
        dice = [2 * overlap / size if size else 1.0 for overlap, size in zip(overlaps, sizes, strict=True)]
        rows.append(dict(zip(network.config.regions, dice, strict=True)))
    return rows


def predict_regions(network: Network, samples: Sequence[Sample]) -> Iterator[Tensor]:
    """Predict masks (K, D, H, W) bool of each whole sample at the backbone's resolution, at probabilities above 0.5."""
    config = network.config
    device = next(network.parameters()).device
    where = Device(str(device), choose_precision(str(device)))
    stride = config.stride // config.backbone_stride
    was_training = network.training
    network.eval()
    try:
        for sample in samples:
            shape = sample.shape
            images = sample.patch((0, 0, 0), shape).images
            kept = [
                index
                for index, name in enumerate(GLIOMA_MODALITY_NAMES)
                if name in config.modalities and images[index].any()
            ]
            padding = [amount for n in shape[::-1] for amount in (0, -n % stride)]
            padded = F.pad(images[None, kept], padding).to(device)
            with torch.inference_mode(), where.autocast():
                names = [GLIOMA_MODALITY_NAMES[index] for index in kept]
                output = network(padded, names, at_backbone_resolution=True)
            yield output.logits[0, :, : shape[0], : shape[1], : shape[2]].cpu() > 0
    finally:
        network.train(was_training)
