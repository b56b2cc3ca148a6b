"""Dice of a network on packed samples: quick, without windows, for watching a training and for sentinels."""

from __future__ import annotations

from collections.abc import Sequence as Samples
from dataclasses import dataclass
from statistics import mean

import torch
from torch.nn import functional as F

from magpie_core.networks.build import Network
from magpie_core.training.objectives import region_targets
from magpie_core.training.sample import SEQUENCES, Sample


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

    samples: Samples[Sample]
    every_steps: int = 100
    patience: int = 50

    def score(self, network: Network) -> float:
        """Mean Dice over samples and regions."""
        return mean(value for row in region_dice(network, self.samples) for value in row.values())


def region_dice(network: Network, samples: Samples[Sample]) -> list[dict[str, float]]:
    """Dice by region of each whole sample at the body's resolution (BraTS rule for empty masks)."""
    config = network.config
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    rows = []
    with torch.inference_mode():
        for sample in samples:
            stride = config.stride // config.body_stride
            shape = sample.shape
            box = sample.box((0, 0, 0), shape)
            kept = [
                index
                for index, name in enumerate(SEQUENCES)
                if name in config.sequences and box.images[index].any()
            ]
            padding = [amount for n in shape[::-1] for amount in (0, -n % stride)]
            images = F.pad(box.images[None, kept], padding).to(device)
            with torch.autocast(device.type, torch.bfloat16):
                output = network(images, [SEQUENCES[index] for index in kept], at_body_resolution=True)
            logits = output.logits[0, :, : shape[0], : shape[1], : shape[2]]
            found = (logits.cpu() > 0).flatten(1)
            truth = region_targets(box.labels).bool().flatten(1)
            size = (found.sum(1) + truth.sum(1)).tolist()
            overlap = (found & truth).sum(1).tolist()
            dice = [2 * both / total if total else 1.0 for both, total in zip(overlap, size, strict=True)]
            rows.append(dict(zip(config.regions, dice, strict=True)))
    network.train(was_training)
    return rows
