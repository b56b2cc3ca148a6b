"""The MAGPIE network, and every network that differs from it by a switch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from magpie_core.errors import ModelError
from magpie_core.networks.config import NetworkConfig
from magpie_core.networks.convolution import Convolution
from magpie_core.networks.decoder import Decoder
from magpie_core.networks.encoder import Encoder
from magpie_core.networks.fixed_stem import FixedStem
from magpie_core.networks.mednext_block import MedNeXtBlock
from magpie_core.networks.mixture_of_experts import MixtureOfExperts
from magpie_core.networks.output import NetworkOutput
from magpie_core.networks.refinement_head import RefinementHead
from magpie_core.networks.routing import Routing
from magpie_core.networks.stem import ChannelAgnosticStem


@dataclass(frozen=True)
class Look:
    """A pass of a network: its output, and the body's first and last features (B, widths[0], D, H, W)."""

    output: NetworkOutput
    first: Tensor
    last: Tensor


class MagpieNet(nn.Module):
    """Region logits from the modalities of a study.

    A stem joins the modalities; the body is an encoder with mixtures of experts and multi-scale deformable attention
    and a decoder with deformable large-kernel attention and, if asked for, experts of its own. With `backbone_stride` 2
    the body works at half the images' resolution (2 mm for 1 mm images) and a head adds the detail.

    Parameters
    ----------
    config
        Sizes and switches.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        widths, regions = config.widths, len(config.regions)
        stem = ChannelAgnosticStem if config.channel_agnostic else FixedStem
        self.stem = stem(config.modalities, widths[0], kernel=config.stem_kernel)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.heads = nn.ModuleList(
            [Convolution(widths[stage], regions, 1) for stage in range(config.deep_supervision + 1)]
        )
        for head in self.heads:
            assert isinstance(head.bias, Tensor)
            nn.init.constant_(head.bias, -3.0)  # most of a brain is no tumor
        self.refinement_head = RefinementHead(config) if config.backbone_stride == 2 else None

    def forward(
        self,
        images: Tensor,
        modalities: Sequence[str],
        present: Tensor | None = None,
        *,
        counted: Tensor | None = None,
        at_backbone_resolution: bool = False,
    ) -> NetworkOutput:
        """Segment `images` (B, S, D, H, W), scaled, RAS order, zero outside the brain and where a modality is absent.

        Parameters
        ----------
        images
            D, H, W must be multiples of `config.stride` (over `config.backbone_stride` at the body's resolution).
        modalities
            Name of each of the S channels.
        present
            (B, S) bool: which modalities each sample has; all by default.
        counted
            (B, 1, D, H, W) bool: the voxels whose tokens the routing's losses count; by default those that are not
            zero in every modality.
        at_backbone_resolution
            Whether the images have the body's voxel size already; then no detail is added.

        Raises
        ------
        ModelError
            If a modality is unknown or the size does not fit.
        """
        return self.look(
            images, modalities, present, counted=counted, at_backbone_resolution=at_backbone_resolution
        ).output

    def look(
        self,
        images: Tensor,
        modalities: Sequence[str],
        present: Tensor | None = None,
        *,
        counted: Tensor | None = None,
        at_backbone_resolution: bool = False,
    ) -> Look:
        """As `forward`, with the features that other networks build on."""
        stride = self.config.stride
        check_images(
            images,
            modalities,
            known=self.config.modalities,
            stride=stride // self.config.backbone_stride if at_backbone_resolution else stride,
        )
        if self.refinement_head is None or at_backbone_resolution:
            return self._body(images, modalities, present, counted)
        halved = F.avg_pool3d(images, 2)
        if counted is not None:
            counted = F.max_pool3d(counted.float(), 2) > 0
        body = self._body(halved, modalities, present, counted)
        coarse = body.output
        lost = images - _enlarge(halved, "nearest")
        logits = _enlarge(coarse.logits, "trilinear") + self.refinement_head(
            lost, body.last, modalities, present
        )
        return replace(
            body, output=NetworkOutput(logits, (coarse.logits, *coarse.deep_logits), coarse.routing)
        )

    def embed(self, images: Tensor, modalities: Sequence[str], present: Tensor | None = None) -> Tensor:
        """What the stem makes of images at the body's resolution: (B, widths[0], D, H, W), for the encoder."""
        features: Tensor = self.stem(images, modalities, present)
        return features.contiguous(memory_format=self._memory_format(features))

    def register_sequence(self, name: str) -> None:
        """Learn to know one more modality by name; what the network gives without it does not change.

        Raises
        ------
        ModelError
            If the modality is known already or unheard of, or the stem has fixed channels.
        """
        stems = [self.stem] if self.refinement_head is None else [self.stem, self.refinement_head.stem]
        if not self.config.channel_agnostic:
            raise ModelError(
                f"{name} cannot be added to this network", cause="its stem has a fixed number of channels"
            )
        config = replace(self.config, modalities=(*self.config.modalities, name))
        for stem in stems:
            assert isinstance(stem, ChannelAgnosticStem)
            stem.register(name)
        self.config = config

    def use_checkpointing(self, on: bool = True) -> None:
        """Keep less in memory while training: expansion branches are computed again in the backward pass."""
        for module in self.modules():
            if isinstance(module, MedNeXtBlock):
                module.checkpointing = on

    @property
    def total_parameters(self) -> int:
        """All parameters."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def active_parameters(self) -> int:
        """Parameters that one voxel meets: all but those of the experts that are not chosen."""
        idle = sum(part.idle_parameters for part in self.modules() if isinstance(part, MixtureOfExperts))
        return self.total_parameters - idle

    def _memory_format(self, features: Tensor) -> torch.memory_format:
        # A processor's convolutions take the channels last, a graphics card's depthwise ones are faster so.
        mednext = "mednext" in (self.config.encoder, self.config.decoder)
        on_processor = features.device.type == "cpu"
        return torch.channels_last_3d if mednext or on_processor else torch.contiguous_format

    def _body(
        self, images: Tensor, modalities: Sequence[str], present: Tensor | None, counted: Tensor | None
    ) -> Look:
        if counted is None:
            counted = (images != 0).any(dim=1, keepdim=True)
        maps, looked = self.encoder(self.embed(images, modalities, present), counted.float())
        refined, refining = self.decoder(maps, counted.float())
        routing: tuple[Routing, ...] = (*looked, *refining)
        logits = [head(features) for head, features in zip(self.heads, refined, strict=False)]
        return Look(NetworkOutput(logits[0], tuple(logits[1:]), routing), maps[0], refined[0])


def check_images(images: Tensor, modalities: Sequence[str], *, known: Sequence[str], stride: int) -> None:
    """Refuse images (B, S, D, H, W) with unknown names or sizes that are no multiples of `stride` (ModelError)."""
    unknown = [name for name in modalities if name not in known]
    if unknown or len(modalities) != images.shape[1]:
        raise ModelError(
            "The network cannot read these modalities",
            cause=f"unknown: {', '.join(unknown)}"
            if unknown
            else f"{images.shape[1]} images, {len(modalities)} names",
            remedy=f"It knows {', '.join(known)}",
        )
    if any(size % stride for size in images.shape[2:]):
        raise ModelError(
            "The network cannot read images of this size",
            cause=f"{tuple(images.shape[2:])} are not multiples of {stride} voxels",
            remedy="Pad the images",
        )


def _enlarge(maps: Tensor, mode: str) -> Tensor:
    return F.interpolate(
        maps, scale_factor=2, mode=mode, align_corners=False if mode == "trilinear" else None
    )
