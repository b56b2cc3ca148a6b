"""Detail at twice the body's resolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from magpie_core.networks.config import NetworkConfig
from magpie_core.networks.conv_block import ConvBlock
from magpie_core.networks.convolution import Convolution
from magpie_core.networks.fixed_stem import FixedStem
from magpie_core.networks.stem import ChannelAgnosticStem


class RefinementHead(nn.Module):
    """Corrections to enlarged logits, from the eight sub-voxels that halving averaged away.

    Everything is computed at the body's resolution, a sub-voxel being a channel. The last convolution starts at zero,
    so that a body trained at its own resolution alone is a complete network.

    Parameters
    ----------
    config
        Sizes and switches.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        channels = config.refinement_channels
        stem = ChannelAgnosticStem if config.channel_agnostic else FixedStem
        self.stem = stem(config.modalities, channels // 2, planes=8)
        self.block = ConvBlock(config.widths[0] + channels // 2, channels, convolutions=1)
        self.head = Convolution(channels, 8 * len(config.regions), 1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, lost: Tensor, features: Tensor, modalities: Sequence[str], present: Tensor | None
    ) -> Tensor:
        """Corrections (B, K, D, H, W) from `lost` (B, S, D, H, W), what halving lost of the images, and the body's
        finest `features` (B, C, D / 2, H / 2, W / 2).
        """
        detail = self.stem(_sub_voxels(lost), modalities, present)
        detail = self.head(self.block(torch.cat([features.to(detail.dtype), detail], dim=1)))
        return _merge_sub_voxels(detail)


def _sub_voxels(images: Tensor) -> Tensor:
    """(B, S, D, H, W) to (B, 8 S, D/2, H/2, W/2): the eight sub-voxels of each voxel become channels."""
    batch, count, depth, height, width = images.shape
    split = images.reshape(batch, count, depth // 2, 2, height // 2, 2, width // 2, 2)
    return split.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(
        batch, 8 * count, depth // 2, height // 2, width // 2
    )


def _merge_sub_voxels(maps: Tensor) -> Tensor:
    """Inverse of `_sub_voxels`."""
    batch, planes, depth, height, width = maps.shape
    split = maps.reshape(batch, planes // 8, 2, 2, 2, depth, height, width)
    return split.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(batch, planes // 8, 2 * depth, 2 * height, 2 * width)
