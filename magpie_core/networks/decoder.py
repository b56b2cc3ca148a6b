"""Decoder: upsampling, skip connections, blocks, experts and large-kernel attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from magpie_core.networks.config import NetworkConfig
from magpie_core.networks.convolution import ConvBlock, UpConvolution
from magpie_core.networks.large_kernel_attention import DeformableLargeKernelAttention
from magpie_core.networks.mednext_block import MedNeXtBlock, MedNeXtUpBlock
from magpie_core.networks.mixture_of_experts import ExpertBlock, Routing


class Decoder(nn.Module):
    """Features at every stage but the bottleneck, finest first, from the encoder's."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        coarse_to_fine = range(len(config.widths) - 2, -1, -1)
        self.concatenate = config.decoder == "unet"
        build = _unet_step if self.concatenate else _mednext_step
        steps = [build(config, stage) for stage in coarse_to_fine]
        self.upsample = nn.ModuleList([upsample for upsample, _ in steps])
        self.stages = nn.ModuleList([blocks for _, blocks in steps])
        counts = config.experts.decoder_blocks if config.experts else ()
        self.experts = nn.ModuleDict(
            {str(stage): _experts(config, stage, count) for stage, count in enumerate(counts) if count}
        )
        part = config.large_kernel
        self.attention = nn.ModuleDict()
        if part is not None:
            for stage in sorted(part.stages):
                attention = DeformableLargeKernelAttention(
                    config.widths[stage], kernel=part.kernel, dilation=part.dilation
                )
                self.attention[str(stage)] = attention

    def forward(self, maps: list[Tensor], valid_mask: Tensor) -> tuple[list[Tensor], list[Routing]]:
        """Return maps (B, widths[s], D / 2^s, H / 2^s, W / 2^s) and the routing of every expert block, finest first.

        `maps` are the encoder's; `valid_mask` (B, 1, D, H, W), 0 or 1, marks the voxels of the routing's losses.
        """
        *skips, features = maps
        refined: list[Tensor] = []
        routing: list[Routing] = []
        for upsample, blocks in zip(self.upsample, self.stages, strict=True):
            skip = skips.pop()
            features = upsample(features).to(skip.dtype)
            features = torch.cat([features, skip], dim=1) if self.concatenate else features + skip
            features = blocks(features)
            stage = str(len(skips))
            if stage in self.experts:
                tokens = F.adaptive_max_pool3d(valid_mask, features.shape[2:]) > 0
                decisions = []
                for block in self.experts[stage]:  # type: ignore[attr-defined]
                    features, decision = block(features, tokens)
                    decisions.append(decision)
                routing = decisions + routing
            if stage in self.attention:
                features = self.attention[stage](features)
            refined.append(features)
        return refined[::-1], routing


def _experts(config: NetworkConfig, stage: int, count: int) -> nn.ModuleList:
    assert config.experts is not None
    mednext = config.decoder == "mednext"
    multiple = config.experts.expansion
    if multiple is None:
        assert config.decoder_expansion is not None
        multiple = config.decoder_expansion[stage] / 2
    width = config.widths[stage]
    blocks = [
        ExpertBlock(width, round(width * multiple), config.experts, kernel=3 if mednext else None) for _ in range(count)
    ]
    for block in blocks:
        nn.init.zeros_(block.mixture.compress)  # an extended network gives the same logits at first
    return nn.ModuleList(blocks)


def _unet_step(config: NetworkConfig, stage: int) -> tuple[nn.Module, nn.Module]:
    width = config.widths[stage]
    return (
        UpConvolution(config.widths[stage + 1], width),
        ConvBlock(2 * width, width, convolutions=config.decoder_blocks[stage]),
    )


def _mednext_step(config: NetworkConfig, stage: int) -> tuple[nn.Module, nn.Module]:
    assert config.decoder_expansion is not None
    width, expansion = config.widths[stage], config.decoder_expansion[stage]
    return (
        MedNeXtUpBlock(config.widths[stage + 1], width, expansion),
        nn.Sequential(*[MedNeXtBlock(width, width, expansion) for _ in range(config.decoder_blocks[stage])]),
    )
