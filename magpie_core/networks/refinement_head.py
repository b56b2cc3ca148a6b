"""Refinement head at twice the backbone's resolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from magpie_core.networks.config import NetworkConfig
from magpie_core.networks.convolution import ConvBlock, Convolution
from magpie_core.networks.stem import build_stem


class RefinementHead(nn.Module):
    """Corrections to upsampled logits, from the eight sub-voxels that downsampling averaged.

    It is computed at the backbone's resolution, with sub-voxels as channels. The last convolution starts at zero, so
    that a backbone trained at its own resolution is a complete network.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        channels = config.refinement_channels
        self.stem = build_stem(config.channel_agnostic, config.modalities, channels // 2, inputs=8)
        self.block = ConvBlock(config.widths[0] + channels // 2, channels, convolutions=1)
        self.head = Convolution(channels, 8 * len(config.regions), 1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, residual: Tensor, features: Tensor, modalities: Sequence[str], present: Tensor | None) -> Tensor:
        """Compute corrections (B, K, D, H, W).

        `residual` (B, S, D, H, W) is the difference of the images from their down- and upsampled copy; `features`
        (B, C, D / 2, H / 2, W / 2) are the backbone's finest.
        """
        details = self.stem(_sub_voxels(residual), modalities, present)
        details = self.head(self.block(torch.cat([features.to(details.dtype), details], dim=1)))
        return _merge_sub_voxels(details)


def _sub_voxels(images: Tensor) -> Tensor:
    """Turn the eight sub-voxels of each voxel into channels: (B, S, D, H, W) to (B, 8 S, D / 2, H / 2, W / 2)."""
    batch, count, depth, height, width = images.shape
    split = images.reshape(batch, count, depth // 2, 2, height // 2, 2, width // 2, 2)
    return split.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(batch, 8 * count, depth // 2, height // 2, width // 2)


def _merge_sub_voxels(maps: Tensor) -> Tensor:
    """Invert `_sub_voxels`."""
    batch, channels, depth, height, width = maps.shape
    split = maps.reshape(batch, channels // 8, 2, 2, 2, depth, height, width)
    return split.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(batch, channels // 8, 2 * depth, 2 * height, 2 * width)
