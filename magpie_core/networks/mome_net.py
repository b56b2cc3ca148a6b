"""Mixture of modality experts (MoME): a network per modality, and a gate that weights them voxel by voxel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from magpie_core.networks.config import MomeConfig
from magpie_core.networks.convolution import Convolution
from magpie_core.networks.decoder import Decoder
from magpie_core.networks.encoder import Encoder
from magpie_core.networks.magpie_net import MagpieNet, NetworkOutput, as_regions, check_images
from magpie_core.networks.stem import ChannelAgnosticStem


class MomeNet(nn.Module):
    """Experts' logits e_i, joined at every decoder level l: sum_i g_i^l e_i^l (MoME, MICCAI 2024, equation 1).

    The gate is a network of its own. It receives the images and the first features of every expert, and gives each
    voxel at each level a softmax over the experts.
    """

    def __init__(self, config: MomeConfig) -> None:
        super().__init__()
        self.config = config
        network = config.network
        self.experts = nn.ModuleDict({name: MagpieNet(config.expert(name)) for name in config.modalities})
        width = network.widths[0]
        self.gate_stem = ChannelAgnosticStem(config.modalities, width)
        self.gate_join = Convolution(width * (1 + len(config.modalities)), width, 1)
        self.gate_encoder = Encoder(network)
        self.gate_decoder = Decoder(network)
        self.gate_heads = nn.ModuleList(
            [
                Convolution(network.widths[stage], len(config.modalities), 1)
                for stage in range(network.deep_supervision + 1)
            ]
        )

    def forward(
        self,
        images: Tensor,
        modalities: Sequence[str],
        present: Tensor | None = None,
        *,
        at_backbone_resolution: bool = False,
    ) -> NetworkOutput:
        """Segment `images` (B, S, D, H, W) as `MagpieNet.forward` does.

        `expert_outputs` of the result holds the output of each given modality's expert, for the curriculum.
        """
        check_images(images, modalities, self.config, at_backbone_resolution)
        if present is None:
            present = torch.ones(images.shape[:2], dtype=torch.bool, device=images.device)
        names = self.config.modalities

        def run(expert: str, image: Tensor) -> NetworkOutput:
            output: NetworkOutput = self.experts[expert](image, [expert], at_backbone_resolution=at_backbone_resolution)
            return output

        if self.config.mode == "study":
            own = {name: run(name, images[:, index : index + 1]) for index, name in enumerate(modalities)}
            available = torch.zeros(len(images), len(names), dtype=torch.bool, device=images.device)
            available[:, [names.index(name) for name in modalities]] = present
            joint = self._join(images, modalities, present, own, available, at_backbone_resolution)
            experts = tuple(own.values())
            return replace(as_regions(joint, self.config.network), expert_outputs=experts, expert_present=present)
        joined: list[NetworkOutput] = []
        everywhere = torch.ones(len(images), len(names), dtype=torch.bool, device=images.device)
        for index, name in enumerate(modalities):
            image = images[:, index : index + 1]
            outputs = {expert: run(expert, image) for expert in names}
            joint = self._join(image, [name], everywhere[:, :1], outputs, everywhere, at_backbone_resolution)
            joined.append(replace(joint, expert_outputs=(outputs[name],)))
        fractions = present / present.sum(dim=1, keepdim=True)
        logits, *deep = (_mean(list(level), fractions) for level in zip(*(o.levels for o in joined), strict=True))
        joint = NetworkOutput(
            logits,
            tuple(deep),
            tuple(decision for output in joined for decision in output.routing),
            tuple(output.expert_outputs[0] for output in joined),
            gate=_mean([output.gate for output in joined if output.gate is not None], fractions),
            expert_present=present,
        )
        return as_regions(joint, self.config.network)

    def _join(
        self,
        images: Tensor,
        modalities: Sequence[str],
        present: Tensor,
        outputs: Mapping[str, NetworkOutput],
        available: Tensor,
        at_backbone_resolution: bool,
    ) -> NetworkOutput:
        """Join the experts' levels by the gate; `available` (B, E) marks the experts that take part.

        The logits are those that the experts computed: of tissues, if they have a softmax.
        """
        halved = self.config.backbone_stride == 2 and not at_backbone_resolution
        images = F.avg_pool3d(images, 2) if halved else images
        stem = self.gate_stem(images, modalities, present)
        embedded = [torch.zeros_like(stem) for _ in self.config.modalities]
        for index, name in enumerate(self.config.modalities):
            features = outputs[name].encoder_features if name in outputs else None
            if features is not None:
                here = available[:, index, None, None, None, None].to(features.dtype)
                embedded[index] = (features * here).to(stem.dtype)
        valid_mask = (images != 0).any(dim=1, keepdim=True).float()
        maps, encoder_routing = self.gate_encoder(self.gate_join(torch.cat([stem, *embedded], dim=1)), valid_mask)
        refined, decoder_routing = self.gate_decoder(maps, valid_mask)
        unavailable = ~available[:, :, None, None, None]
        weights = [
            head(level).float().masked_fill(unavailable, -torch.inf).softmax(dim=1)
            for head, level in zip(self.gate_heads, refined, strict=False)
        ]
        if halved:
            weights.insert(0, F.interpolate(weights[0], scale_factor=2, mode="nearest"))
        names = self.config.modalities
        levels = []
        for number, weight in enumerate(weights):
            joined = torch.zeros((), device=images.device)
            for name, output in outputs.items():
                joined = joined + weight[:, names.index(name), None] * output.levels[number]
            levels.append(joined)
        expert_routing = [decision for output in outputs.values() for decision in output.routing]
        routing = (*encoder_routing, *decoder_routing, *expert_routing)
        return NetworkOutput(levels[0], tuple(levels[1:]), routing, gate=weights[0])


def _mean(parts: list[Tensor], fractions: Tensor) -> Tensor:
    """Average parts (B, C, D, H, W), weighted by `fractions` (B, parts)."""
    total = torch.zeros((), device=fractions.device)
    for index, part in enumerate(parts):
        total = total + fractions[:, index, None, None, None, None] * part
    return total
