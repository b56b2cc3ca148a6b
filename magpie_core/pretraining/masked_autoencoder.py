"""The network under pretraining: masked images in, whole images and an embedding out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from magpie_core.errors import InputError, ModelError
from magpie_core.networks.build import Network
from magpie_core.networks.conv_block import ConvBlock
from magpie_core.networks.convolution import Convolution, UpConvolution
from magpie_core.networks.magpie_net import MagpieNet
from magpie_core.networks.routing import Routing
from magpie_core.pretraining.config import PretrainingConfig
from magpie_core.pretraining.visible_only import VisibleOnly

_EMBEDDING_CHANNELS = 128
_PREFIX = "network."


@dataclass(frozen=True)
class Reconstruction:
    """What the autoencoder gives.

    Attributes
    ----------
    images
        (B, S, D, H, W), all of each view.
    embedding
        (B, E), of what the encoder saw.
    routing
        One for each expert block.
    """

    images: Tensor
    embedding: Tensor
    routing: tuple[Routing, ...]


class MaskedAutoencoder(nn.Module):
    """A MAGPIE network's body between masked images and their reconstruction.

    Parameters
    ----------
    network
        Learns in place; its region heads and its detail head take no part.
    recipe
        Says how masking is done, and which decoder reconstructs.

    Raises
    ------
    ModelError
        If the network is a mixture or an ensemble of others.
    InputError
        If the box does not divide into voxels of the network's coarsest stage.
    """

    def __init__(self, network: Network, recipe: PretrainingConfig) -> None:
        super().__init__()
        if not isinstance(network, MagpieNet):
            raise ModelError(
                "Only a single network can be pretrained", remedy="Pretrain its parts one by one"
            )
        config = network.config
        stride = config.stride // config.backbone_stride
        if any(size % stride for size in recipe.box) or math.prod(recipe.box) == stride**3:
            raise InputError(
                f"A box of {' x '.join(map(str, recipe.box))} voxels does not fit this network",
                cause=f"a voxel of its coarsest stage is {stride} voxels wide, and it needs several of them",
                remedy=f"Choose sizes that are multiples of {stride}, one of them at least {2 * stride}",
            )
        self.network = network
        network.heads.requires_grad_(False)
        if network.refinement_head is not None:
            network.refinement_head.requires_grad_(False)
        widths = config.widths
        self.light = _LightDecoder(widths) if recipe.light_decoder else None
        if recipe.light_decoder:
            network.decoder.requires_grad_(False)
        self.only = VisibleOnly(network.stem, network.encoder) if recipe.sparse else None
        self.tokens = nn.ParameterList(
            [nn.Parameter(0.02 * torch.randn(width)) for width in widths] if recipe.sparse else []
        )
        self.heads = nn.ModuleDict({name: Convolution(widths[0], 1, 1) for name in config.modalities})
        self.project = nn.Sequential(
            nn.Linear(widths[-1], 2 * _EMBEDDING_CHANNELS),
            nn.GELU(),
            # What all views have in common is taken off in the contrast: a bias would learn from rounding alone.
            nn.Linear(2 * _EMBEDDING_CHANNELS, _EMBEDDING_CHANNELS, bias=False),
        )

    def forward(
        self, images: Tensor, visible: Tensor, modalities: Sequence[str], present: Tensor
    ) -> Reconstruction:
        """Reconstruct `images` (B, S, D, H, W) from where `visible` (B, 1, D, H, W) bool allows to look.

        `present` (B, S) bool says which modalities each view has; the experts' losses count visible brain alone.
        """
        seen = torch.where(visible, images, 0.0)
        counted = (seen != 0).any(dim=1, keepdim=True).float()
        if self.only is not None:
            self.only.visible = visible.to(images.dtype)
        maps, routing = self.network.encoder(self.network.embed(seen, modalities, present), counted)
        embedding = self._embedding(maps[-1])
        if self.light is not None:
            finest, refining = self.light(maps[-1]), []
        else:
            refined, refining = self.network.decoder(self._densified(maps), counted)
            finest = refined[0]
        drawn = torch.cat([self.heads[name](finest) for name in modalities], dim=1)
        return Reconstruction(drawn, embedding, (*routing, *refining))

    def release(self) -> None:
        """Let the network be a network again: unmasked, and all of it may learn."""
        if self.only is not None:
            self.only.leave()
        self.network.requires_grad_(True)

    @staticmethod
    def network_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Of an autoencoder's weights those of the network in it."""
        return {
            name.removeprefix(_PREFIX): value for name, value in weights.items() if name.startswith(_PREFIX)
        }

    def _embedding(self, features: Tensor) -> Tensor:
        """Mean (B, E) of the visible tokens' projections.

        Not the projection of their mean: instance normalization has made every channel's mean the same in all views,
        and only how channels go together tells views apart.
        """
        tokens = self.project(features.permute(0, 2, 3, 4, 1))
        if self.only is None:
            return tokens.mean(dim=(1, 2, 3))
        seen = self.only.at(features).permute(0, 2, 3, 4, 1)
        return (tokens * seen).sum(dim=(1, 2, 3)) / seen.sum(dim=(1, 2, 3))

    def _densified(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps with a learned token of their stage wherever they are empty."""
        if self.only is None:
            return maps
        return [
            torch.where(self.only.at(features) > 0, features, token[:, None, None, None].to(features.dtype))
            for features, token in zip(maps, self.tokens, strict=True)
        ]


class _LightDecoder(nn.Module):
    """Up from the bottleneck alone, a convolution a stage (AMAES)."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for coarse, fine in zip(widths[:0:-1], widths[-2::-1], strict=True):
            steps += [UpConvolution(coarse, fine), ConvBlock(fine, fine, convolutions=1)]
        self.steps = nn.Sequential(*steps)

    def forward(self, features: Tensor) -> Tensor:
        refined: Tensor = self.steps(features)
        return refined
