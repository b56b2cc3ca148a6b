"""The masked autoencoder: a network between masked images and their reconstruction, with an embedding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from magpie_core.errors import InputError, ModelError
from magpie_core.networks.build import Network
from magpie_core.networks.convolution import ConvBlock, Convolution, UpConvolution
from magpie_core.networks.magpie_net import MagpieNet
from magpie_core.networks.mixture_of_experts import Routing
from magpie_core.pretraining.config import PretrainingConfig
from magpie_core.pretraining.sparse_masking import SparseMasking

_EMBEDDING_CHANNELS = 128


@dataclass(frozen=True)
class Reconstruction:
    """Output of the autoencoder.

    Attributes:
        images: (B, S, D, H, W), all of each view.
        embedding: (B, E), of the visible voxels.
        routing: One for each expert block.
    """

    images: Tensor
    embedding: Tensor
    routing: tuple[Routing, ...]


class MaskedAutoencoder(nn.Module):
    """A MAGPIE network's backbone as an autoencoder of masked images.

    Args:
        network: Trained in place; its region heads and its refinement head are not used.

    Raises:
        ModelError: If the network is a mixture or an ensemble of others.
        InputError: If the view does not divide into voxels of the network's coarsest stage.
    """

    def __init__(self, network: Network, config: PretrainingConfig) -> None:
        super().__init__()
        if not isinstance(network, MagpieNet):
            raise ModelError("Cannot pretrain a mixture or an ensemble", remedy="Pretrain its networks one by one")
        network_config = network.config
        stride = network_config.stride // network_config.backbone_stride
        if any(size % stride for size in config.view_size) or math.prod(config.view_size) == stride**3:
            raise InputError(
                f"A view of {' x '.join(map(str, config.view_size))} voxels does not fit this network",
                cause=f"a voxel of its coarsest stage is {stride} voxels wide, and it needs several of them",
                remedy=f"Choose sizes that are multiples of {stride}, one of them at least {2 * stride}",
            )
        self.network = network
        network.heads.requires_grad_(False)
        if network.refinement_head is not None:
            network.refinement_head.requires_grad_(False)
        widths = network_config.widths
        self.light_decoder = _LightDecoder(widths) if config.light_decoder else None
        if config.light_decoder:
            network.decoder.requires_grad_(False)
        self.sparse_masking = SparseMasking(network.stem, network.encoder) if config.sparse else None
        self.tokens = nn.ParameterList(
            [nn.Parameter(0.02 * torch.randn(width)) for width in widths] if config.sparse else []
        )
        self.reconstruction_heads = nn.ModuleDict(
            {name: Convolution(widths[0], 1, 1) for name in network_config.modalities}
        )
        self.projection = nn.Sequential(
            nn.Linear(widths[-1], 2 * _EMBEDDING_CHANNELS),
            nn.GELU(),
            # The mean embedding may be subtracted before the contrastive loss: a bias would learn from rounding alone.
            nn.Linear(2 * _EMBEDDING_CHANNELS, _EMBEDDING_CHANNELS, bias=False),
        )

    def forward(self, images: Tensor, visible: Tensor, modalities: Sequence[str], present: Tensor) -> Reconstruction:
        """Reconstruct `images` (B, S, D, H, W) from what is `visible` (B, 1, D, H, W) bool.

        `present` (B, S) bool says which modalities each view has; the experts' losses are over visible brain alone.
        """
        masked = torch.where(visible, images, 0.0)
        valid_mask = (masked != 0).any(dim=1, keepdim=True).float()
        if self.sparse_masking is not None:
            self.sparse_masking.visible = visible.to(images.dtype)
        maps, routing = self.network.encoder(self.network.embed(masked, modalities, present), valid_mask)
        embedding = self._embedding(maps[-1])
        if self.light_decoder is not None:
            finest, decoder_routing = self.light_decoder(maps[-1]), []
        else:
            refined, decoder_routing = self.network.decoder(self._filled(maps), valid_mask)
            finest = refined[0]
        images = torch.cat([self.reconstruction_heads[name](finest) for name in modalities], dim=1)
        return Reconstruction(images, embedding, (*routing, *decoder_routing))

    def release(self) -> None:
        """Remove the masking from the network, and let all of its parameters be trained again."""
        if self.sparse_masking is not None:
            self.sparse_masking.remove()
        self.network.requires_grad_(True)

    def _embedding(self, features: Tensor) -> Tensor:
        """Return the mean (B, E) of the visible tokens' projections.

        Not the projection of their mean: instance normalization has made every channel's mean the same in all views.
        """
        tokens = self.projection(features.permute(0, 2, 3, 4, 1))
        if self.sparse_masking is None:
            return tokens.mean(dim=(1, 2, 3))
        visible = self.sparse_masking.at(features).permute(0, 2, 3, 4, 1)
        return (tokens * visible).sum(dim=(1, 2, 3)) / visible.sum(dim=(1, 2, 3))

    def _filled(self, maps: list[Tensor]) -> list[Tensor]:
        """Return the maps with the learned token of their stage where they are masked."""
        if self.sparse_masking is None:
            return maps
        return [
            torch.where(self.sparse_masking.at(features) > 0, features, token[:, None, None, None].to(features.dtype))
            for features, token in zip(maps, self.tokens, strict=True)
        ]


class _LightDecoder(nn.Module):
    """Upsample from the bottleneck alone, with one convolution per stage (AMAES)."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for coarse, fine in zip(widths[:0:-1], widths[-2::-1], strict=True):
            steps += [UpConvolution(coarse, fine), ConvBlock(fine, fine, convolutions=1)]
        self.steps = nn.Sequential(*steps)

    def forward(self, features: Tensor) -> Tensor:
        refined: Tensor = self.steps(features)
        return refined
