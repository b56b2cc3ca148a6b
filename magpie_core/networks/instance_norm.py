"""Instance normalization that keeps the channels last."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class InstanceNorm(nn.InstanceNorm3d):
    """Each sample's channel less its mean, over its standard deviation, then scaled and shifted (affine).

    The statistics of one sample are those of a batch of it alone: on a processor torch's batch normalization takes
    channels that lie last as they are, where its instance normalization moves them first and the next convolution
    moves them back.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=True)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, D, H, W) to the same size, and on a processor the same order in memory."""
        return self.batchwise(features) if features.device.type == "cpu" else super().forward(features)

    def batchwise(self, features: Tensor) -> Tensor:
        """The same, by torch's batch normalization of each sample."""
        cudnn = torch.backends.cudnn.enabled
        samples = [
            torch.batch_norm(sample, self.weight, self.bias, None, None, True, 0.0, self.eps, cudnn)
            for sample in features.split(1)
        ]
        return samples[0] if len(samples) == 1 else torch.cat(samples)
