"""The way up: doubled resolution, joined with the encoder's maps, refined, attended."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from magpie_core.networks.config import NetworkConfig
from magpie_core.networks.conv_block import ConvBlock
from magpie_core.networks.large_kernel_attention import DeformableLargeKernelAttention
from magpie_core.networks.mednext_block import MedNeXtBlock, MedNeXtUpBlock


class Decoder(nn.Module):
    """Features at every stage but the bottleneck, finest first, from the encoder's.

    Parameters
    ----------
    config
        Sizes and switches.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        coarse_to_fine = range(len(config.widths) - 2, -1, -1)
        self.concatenate = config.decoder == "unet"
        build = _unet_step if self.concatenate else _mednext_step
        steps = [build(config, stage) for stage in coarse_to_fine]
        self.upsample = nn.ModuleList([upsample for upsample, _ in steps])
        self.stages = nn.ModuleList([blocks for _, blocks in steps])
        part = config.large_kernel
        self.attention = nn.ModuleDict(
            {}
            if part is None
            else {
                str(stage): DeformableLargeKernelAttention(
                    config.widths[stage], kernel=part.kernel, dilation=part.dilation
                )
                for stage in sorted(part.stages)
            }
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps (B, widths[s], D / 2^s, H / 2^s, W / 2^s), finest first, from the encoder's."""
        *skips, features = maps
        refined: list[Tensor] = []
        for upsample, blocks in zip(self.upsample, self.stages, strict=True):
            skip = skips.pop()
            features = upsample(features).to(skip.dtype)
            features = torch.cat([features, skip], dim=1) if self.concatenate else features + skip
            features = blocks(features)
            if str(len(skips)) in self.attention:
                features = self.attention[str(len(skips))](features)
            refined.append(features)
        return refined[::-1]


def _unet_step(config: NetworkConfig, stage: int) -> tuple[nn.Module, nn.Module]:
    width = config.widths[stage]
    return (
        nn.ConvTranspose3d(config.widths[stage + 1], width, 2, 2),
        ConvBlock(2 * width, width, convolutions=config.decoder_blocks[stage]),
    )


def _mednext_step(config: NetworkConfig, stage: int) -> tuple[nn.Module, nn.Module]:
    assert config.decoder_expansion is not None
    width, expansion = config.widths[stage], config.decoder_expansion[stage]
    return (
        MedNeXtUpBlock(config.widths[stage + 1], width, expansion),
        nn.Sequential(*[MedNeXtBlock(width, width, expansion) for _ in range(config.decoder_blocks[stage])]),
    )
