"""Instance normalization that keeps the channels-last memory format."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class InstanceNorm(nn.InstanceNorm3d):
    """Affine instance normalization, on a CPU by torch's batch normalization of each sample.

    The statistics of one sample are those of a batch of one. Torch's batch normalization keeps the channels-last format
    on a CPU; its instance normalization converts it, and the next convolution converts it back.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=True)

    def forward(self, features: Tensor) -> Tensor:
        """Normalize (B, C, D, H, W); the memory format is kept on a CPU."""
        return self.batchwise(features) if features.device.type == "cpu" else super().forward(features)

    def batchwise(self, features: Tensor) -> Tensor:
        """Normalize by torch's batch normalization of each sample."""
        cudnn = torch.backends.cudnn.enabled
        samples = [
            torch.batch_norm(sample, self.weight, self.bias, None, None, True, 0.0, self.eps, cudnn)
            for sample in features.split(1)
        ]
        return samples[0] if len(samples) == 1 else torch.cat(samples)
