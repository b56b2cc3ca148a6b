"""Encoder: stages of blocks, experts among them, and multi-scale attention over finer stages."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from magpie_core.networks.config import NetworkConfig
from magpie_core.networks.convolution import ConvBlock
from magpie_core.networks.mednext_block import MedNeXtBlock, MedNeXtDownBlock
from magpie_core.networks.mixture_of_experts import ExpertBlock, Routing
from magpie_core.networks.multi_scale_attention import MultiScaleDeformableAttention


class Encoder(nn.Module):
    """Features at every stage, finest first, from the stem's."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        build = _mednext_stage if config.encoder == "mednext" else _unet_stage
        self.stages = nn.ModuleList([build(config, stage) for stage in range(len(config.widths))])
        part = config.multi_scale
        self._finer = part.finer_levels if part else ()
        self.attention = nn.ModuleDict()
        for stage, finer in enumerate(self._finer):
            if part and finer:
                self.attention[str(stage)] = MultiScaleDeformableAttention(
                    config.widths[stage],
                    [config.widths[stage - level] for level in range(finer + 1)],
                    attention_channels=part.channels,
                    heads=part.heads,
                    points=part.points,
                )

    def forward(self, features: Tensor, valid_mask: Tensor) -> tuple[list[Tensor], list[Routing]]:
        """Return maps (B, widths[s], D / 2^s, H / 2^s, W / 2^s) of each stage s, and the routing of each expert block.

        `features` are the stem's (B, widths[0], D, H, W); `valid_mask` (B, 1, D, H, W), 0 or 1, marks the voxels of
        the routing's losses.
        """
        maps: list[Tensor] = []
        routing: list[Routing] = []
        for index, stage in enumerate(self.stages):
            assert isinstance(stage, nn.ModuleList)
            for block in stage:
                if isinstance(block, ExpertBlock):
                    tokens = F.adaptive_max_pool3d(valid_mask, features.shape[2:]) > 0
                    features, decision = block(features, tokens)
                    routing.append(decision)
                else:
                    features = block(features)
            if str(index) in self.attention:
                levels = [features, *(maps[index - level] for level in range(1, self._finer[index] + 1))]
                features = self.attention[str(index)](features, levels)
            maps.append(features)
        return maps, routing


def _unet_stage(config: NetworkConfig, stage: int) -> nn.ModuleList:
    width = config.widths[stage]
    blocks: list[nn.Module] = [
        ConvBlock(
            config.widths[max(stage - 1, 0)], width, stride=2 if stage else 1, convolutions=config.encoder_blocks[stage]
        )
    ]
    if config.experts is not None:
        assert config.experts.expansion is not None
        hidden = round(width * config.experts.expansion)
        blocks += [ExpertBlock(width, hidden, config.experts) for _ in range(config.experts.blocks[stage])]
    return nn.ModuleList(blocks)


def _mednext_stage(config: NetworkConfig, stage: int) -> nn.ModuleList:
    assert config.encoder_expansion is not None
    width, expansion = config.widths[stage], config.encoder_expansion[stage]
    blocks: list[nn.Module] = []
    if stage:
        blocks.append(MedNeXtDownBlock(config.widths[stage - 1], width, expansion))
    count = config.encoder_blocks[stage]
    with_experts = _every_other_from_the_end(count, config.experts.blocks[stage]) if config.experts else ()
    for number in range(count):
        if config.experts is not None and number in with_experts:
            multiple = config.experts.expansion or expansion / 2
            blocks.append(ExpertBlock(width, round(width * multiple), config.experts, kernel=3))
        else:
            blocks.append(MedNeXtBlock(width, width, expansion))
    return nn.ModuleList(blocks)


def _every_other_from_the_end(count: int, chosen: int) -> tuple[int, ...]:
    """Choose among `count` blocks: every other one, the last first, or the last ones if too many for that."""
    alternate = range(count - 1, -1, -2)
    return tuple(alternate[:chosen] if chosen <= len(alternate) else range(count - chosen, count))
