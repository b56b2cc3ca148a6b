"""MAGPIE network, with a switch for each of its parts, and an ensemble of such networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from magpie_core.errors import ModelError
from magpie_core.networks.config import AnyConfig, EnsembleConfig, NetworkConfig
from magpie_core.networks.convolution import ConvBlock, Convolution
from magpie_core.networks.decoder import Decoder
from magpie_core.networks.encoder import Encoder
from magpie_core.networks.mixture_of_experts import MixtureOfExperts, Routing
from magpie_core.networks.stem import build_stem
from magpie_core.networks.tissue_logits import region_log_odds


@dataclass(frozen=True)
class NetworkOutput:
    """Logits, and what training needs besides them.

    Attributes:
        logits: (B, K, D, H, W), one channel per region.
        tissue_logits: Of a network with a softmax over tissues: (B, 4, D, H, W) at every level, finest first.
        deep_logits: Logits of coarser stages for deep supervision, each half the size of the one before.
        routing: One for each expert block: the encoder's, then the decoder's, each finest stage first.
        expert_outputs: For a mixture of modality experts: output of each expert on its own modality.
        expert_present: (B, E) bool: the samples of the batch that have the modality of each of these.
        encoder_features: The encoder's finest features (B, widths[0], D, H, W) of a `MagpieNet`.
        gate: For a mixture of modality experts: weights (B, E, D, H, W) at the finest level; in the mode "image" their
            mean over the images.
    """

    logits: Tensor
    deep_logits: tuple[Tensor, ...] = ()
    routing: tuple[Routing, ...] = ()
    expert_outputs: tuple[NetworkOutput, ...] = ()
    encoder_features: Tensor | None = None
    gate: Tensor | None = None
    tissue_logits: tuple[Tensor, ...] = ()
    expert_present: Tensor | None = None

    @property
    def levels(self) -> tuple[Tensor, ...]:
        """What the network computed at every level, finest first: logits of the tissues, else of the regions."""
        return self.tissue_logits or (self.logits, *self.deep_logits)


def as_regions(output: NetworkOutput, config: NetworkConfig) -> NetworkOutput:
    """Turn the logits of an output from those of tissues into those of regions, if the network has a softmax."""
    if config.output == "regions":
        return output
    levels = (output.logits, *output.deep_logits)
    logits, *deep = (region_log_odds(level) for level in levels)
    return replace(output, logits=logits, deep_logits=tuple(deep), tissue_logits=levels)


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
        self.head = Convolution(channels, 8 * config.output_channels, 1)
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


class MagpieNet(nn.Module):
    """Region logits from the modalities of a study.

    A stem embeds the modalities. The backbone is an encoder with mixtures of experts and multi-scale deformable
    attention, and a decoder with deformable large-kernel attention and, optionally, mixtures of experts. With
    `backbone_stride` 2 the backbone works at half the images' resolution (2 mm for 1 mm images) and a refinement head
    corrects its upsampled logits.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        widths, channels = config.widths, config.output_channels
        self.stem = build_stem(config.channel_agnostic, config.modalities, widths[0], kernel=config.stem_kernel)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.heads = nn.ModuleList(
            [Convolution(widths[stage], channels, 1) for stage in range(config.deep_supervision + 1)]
        )
        for head in self.heads:
            assert isinstance(head.bias, Tensor)
            nn.init.constant_(head.bias, -3.0)  # most of a brain is no tumor
            if config.output == "tissues":
                nn.init.zeros_(head.bias[:1])  # the background
        self.refinement_head = RefinementHead(config) if config.backbone_stride == 2 else None

    def forward(
        self,
        images: Tensor,
        modalities: Sequence[str],
        present: Tensor | None = None,
        *,
        at_backbone_resolution: bool = False,
    ) -> NetworkOutput:
        """Segment `images` (B, S, D, H, W): normalized, RAS order, zero in background and absent modalities.

        Args:
            images: D, H, W must be multiples of `config.stride`, or of that over `config.backbone_stride` at the
                backbone's resolution.
            modalities: Name of each of the S channels.
            present: (B, S) bool: modalities of each sample; all by default.
            at_backbone_resolution: Whether the images have the backbone's voxel size; then the refinement head is not
                used.

        Raises:
            ModelError: If a modality is unknown or the size does not fit.
        """
        check_images(images, modalities, self.config, at_backbone_resolution)
        if self.refinement_head is None or at_backbone_resolution:
            return as_regions(self._backbone(images, modalities, present)[0], self.config)
        halved = F.avg_pool3d(images, 2)
        coarse, features = self._backbone(halved, modalities, present)
        residual = images - F.interpolate(halved, scale_factor=2, mode="nearest")
        upsampled = F.interpolate(coarse.logits, scale_factor=2, mode="trilinear", align_corners=False)
        logits = upsampled + self.refinement_head(residual, features, modalities, present)
        fine = replace(coarse, logits=logits, deep_logits=(coarse.logits, *coarse.deep_logits))
        return as_regions(fine, self.config)

    def embed(self, images: Tensor, modalities: Sequence[str], present: Tensor | None = None) -> Tensor:
        """Embed images at the backbone's resolution by the stem: (B, widths[0], D, H, W), for the encoder."""
        features: Tensor = self.stem(images, modalities, present)
        # Convolutions on a CPU and depthwise ones on a GPU are faster with the channels last.
        channels_last = features.device.type == "cpu" or "mednext" in (self.config.encoder, self.config.decoder)
        return features.contiguous(memory_format=torch.channels_last_3d if channels_last else torch.contiguous_format)

    @property
    def total_parameters(self) -> int:
        """Number of all parameters."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def active_parameters(self) -> int:
        """Number of parameters that one voxel is computed with: without the experts it is not routed to."""
        idle = sum(part.idle_parameters for part in self.modules() if isinstance(part, MixtureOfExperts))
        return self.total_parameters - idle

    def _backbone(
        self, images: Tensor, modalities: Sequence[str], present: Tensor | None
    ) -> tuple[NetworkOutput, Tensor]:
        """Run the backbone; returns its output and the decoder's finest features (B, widths[0], D, H, W)."""
        # The routing's losses are those of voxels that are not zero in every modality.
        valid_mask = (images != 0).any(dim=1, keepdim=True).float()
        maps, encoder_routing = self.encoder(self.embed(images, modalities, present), valid_mask)
        refined, decoder_routing = self.decoder(maps, valid_mask)
        logits = [head(features) for head, features in zip(self.heads, refined, strict=False)]
        routing: tuple[Routing, ...] = (*encoder_routing, *decoder_routing)
        return NetworkOutput(logits[0], tuple(logits[1:]), routing, encoder_features=maps[0]), refined[0]


class EnsembleNet(nn.Module):
    """Ensemble of networks alike: the mean of the members' logits."""

    def __init__(self, config: EnsembleConfig) -> None:
        super().__init__()
        self.config = config
        self.members = nn.ModuleList([MagpieNet(config.network) for _ in range(config.count)])

    def forward(
        self,
        images: Tensor,
        modalities: Sequence[str],
        present: Tensor | None = None,
        *,
        at_backbone_resolution: bool = False,
    ) -> NetworkOutput:
        """Segment images; see `MagpieNet.forward`."""
        options = {"at_backbone_resolution": at_backbone_resolution}
        outputs = [member(images, modalities, present, **options) for member in self.members]
        logits, *deep = (torch.stack(level).mean(dim=0) for level in zip(*(o.levels for o in outputs), strict=True))
        routing = tuple(decision for output in outputs for decision in output.routing)
        return as_regions(NetworkOutput(logits, tuple(deep), routing), self.config.network)


def check_images(images: Tensor, modalities: Sequence[str], config: AnyConfig, at_backbone_resolution: bool) -> None:
    """Check that images (B, S, D, H, W) have known names and sizes that fit the network's stride, else ModelError."""
    unknown = [name for name in modalities if name not in config.modalities]
    if unknown or len(modalities) != images.shape[1]:
        raise ModelError(
            "The network does not take these modalities",
            cause=f"unknown: {', '.join(unknown)}" if unknown else f"{images.shape[1]} images, {len(modalities)} names",
            remedy=f"Give any of {', '.join(config.modalities)}",
        )
    stride = config.stride // (config.backbone_stride if at_backbone_resolution else 1)
    if any(size % stride for size in images.shape[2:]):
        raise ModelError(
            "The network does not take images of this size",
            cause=f"{tuple(images.shape[2:])} are not multiples of {stride} voxels",
            remedy="Pad the images",
        )
