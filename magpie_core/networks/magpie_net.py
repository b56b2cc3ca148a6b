"""The compact MAGPIE network: a residual U-Net with a channel-agnostic stem and mixtures of experts."""

from __future__ import annotations

from collections.abc import Sequence as Names
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from magpie_core.networks.config import NetworkConfig
from magpie_core.networks.experts import ExpertBlock, Routing
from magpie_core.networks.stem import ChannelAgnosticStem


@dataclass(frozen=True)
class NetworkOutput:
    """Logits (B, K, D, H, W) of a pass, logits at half resolution for deep supervision, and the experts' routing."""

    logits: Tensor
    auxiliary_logits: Tensor
    routing: tuple[Routing, ...]


class MagpieNet(nn.Module):
    """Region logits from any subset of sequences.

    The body works at half the input's resolution (2 mm for 1 mm images). A detail head then reads what the halving
    lost, the eight sub-voxels of each body voxel, and corrects the enlarged logits; it starts at zero, so that a body
    trained on 2 mm studies alone is a complete network.

    Parameters
    ----------
    config
        Sizes and switches.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.stem = ChannelAgnosticStem(config.sequences, widths[0])
        self.encoder = nn.ModuleList(
            [_ConvBlock(widths[0], widths[0], convolutions=1)]
            + [_ConvBlock(narrow, wide, stride=2) for narrow, wide in zip(widths, widths[1:], strict=False)]
        )
        self.experts = nn.ModuleDict(
            {
                str(stage): ExpertBlock(
                    widths[stage],
                    round(widths[stage] * config.expert_expansion),
                    experts=config.experts,
                    experts_per_token=config.experts_per_token,
                )
                for stage in config.expert_stages
            }
        )
        finer = list(range(len(widths) - 2, -1, -1))
        self.upsample = nn.ModuleList([nn.ConvTranspose3d(widths[s + 1], widths[s], 2, 2) for s in finer])
        self.decoder = nn.ModuleList(
            [_ConvBlock(2 * widths[s], widths[s], convolutions=2 if s else 1) for s in finer]
        )
        regions = len(config.regions)
        self.head = nn.Conv3d(widths[0], regions, 1)
        self.auxiliary_head = nn.Conv3d(widths[1], regions, 1)
        for head in (self.head, self.auxiliary_head):
            assert head.bias is not None
            nn.init.constant_(head.bias, -3.0)  # most of a brain is no tumour
        detail = config.detail_channels
        self.detail_stem = ChannelAgnosticStem(config.sequences, detail // 2, planes=8)
        self.detail_block = _ConvBlock(widths[0] + detail // 2, detail, convolutions=1)
        self.detail_head = nn.Conv3d(detail, 8 * regions, 1)
        for parameter in self.detail_head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, images: Tensor, sequences: Names[str], present: Tensor | None = None) -> NetworkOutput:
        """Segment `images` (B, S, D, H, W), scaled, RAS order, zero outside the brain and where a sequence is absent.

        Parameters
        ----------
        images
            D, H, W must be multiples of `config.stride`.
        sequences
            Name of each of the S channels.
        present
            (B, S) bool: which sequences each sample has; all by default.
        """
        halved = F.avg_pool3d(images, 2)
        coarse, features = self._body(halved, sequences, present)
        lost = images - _enlarge(halved, "nearest")
        detail = self.detail_stem(_sub_voxels(lost), sequences, present)
        detail = self.detail_head(self.detail_block(torch.cat([features.to(detail.dtype), detail], dim=1)))
        logits = _enlarge(coarse.logits, "trilinear") + _merge_sub_voxels(detail)
        return NetworkOutput(logits, coarse.logits, coarse.routing)

    def forward_body(
        self, images: Tensor, sequences: Names[str], present: Tensor | None = None
    ) -> NetworkOutput:
        """Segment images that are already at the body's resolution (2 mm); no detail head. Shapes as in `forward`."""
        return self._body(images, sequences, present)[0]

    def _body(
        self, images: Tensor, sequences: Names[str], present: Tensor | None
    ) -> tuple[NetworkOutput, Tensor]:
        inside = (images != 0).any(dim=1, keepdim=True).float()
        features = self.stem(images, sequences, present)
        skips: list[Tensor] = []
        routing: list[Routing] = []
        for stage, block in enumerate(self.encoder):
            features = block(features)
            if str(stage) in self.experts:
                tokens_inside = F.adaptive_max_pool3d(inside, features.shape[2:]) > 0
                features, decision = self.experts[str(stage)](features, tokens_inside)
                routing.append(decision)
            skips.append(features)
        skips.pop()
        auxiliary = features
        for upsample, block in zip(self.upsample, self.decoder, strict=True):
            skip = skips.pop()
            features = block(torch.cat([upsample(features).to(skip.dtype), skip], dim=1))
            if len(skips) == 1:
                auxiliary = self.auxiliary_head(features)
        return NetworkOutput(self.head(features), auxiliary, tuple(routing)), features


class _ConvBlock(nn.Module):
    """Convolutions, each with instance normalisation and leaky ReLU; the first may halve the resolution."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, convolutions: int = 2) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(convolutions):
            layers += [
                nn.Conv3d(
                    outputs if index else inputs, outputs, 3, 1 if index else stride, padding=1, bias=False
                ),
                nn.InstanceNorm3d(outputs, affine=True),
                nn.LeakyReLU(0.01, inplace=True),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)


def _enlarge(maps: Tensor, mode: str) -> Tensor:
    return F.interpolate(
        maps, scale_factor=2, mode=mode, align_corners=False if mode == "trilinear" else None
    )


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
