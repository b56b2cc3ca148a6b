"""Mixture of modality experts (MoME): a network per modality, and a gate that weights them voxel by voxel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from magpie_core.errors import ModelError
from magpie_core.networks.composite_config import MomeConfig
from magpie_core.networks.convolution import Convolution
from magpie_core.networks.decoder import Decoder
from magpie_core.networks.encoder import Encoder
from magpie_core.networks.magpie_net import ForwardPass, MagpieNet, check_images
from magpie_core.networks.output import NetworkOutput
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

    def load_experts(self, weights: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Load experts that were each trained on their own modality (`MomeConfig.expert`), by name.

        Raises:
            ModelError: If one is missing or does not fit.
        """
        missing = [name for name in self.experts if name not in weights]
        if missing:
            raise ModelError("Experts are missing", cause=f"none for {', '.join(missing)}")
        for name, expert in self.experts.items():
            try:
                expert.load_state_dict(dict(weights[name]))
            except RuntimeError as error:
                raise ModelError(f"The expert for {name} does not fit", cause=str(error).splitlines()[0]) from error

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

        Raises:
            ModelError: If a modality is unknown or the size does not fit.
        """
        return self.forward_with_gate(images, modalities, present, at_backbone_resolution=at_backbone_resolution)[0]

    def forward_with_gate(
        self,
        images: Tensor,
        modalities: Sequence[str],
        present: Tensor | None = None,
        *,
        at_backbone_resolution: bool = False,
    ) -> tuple[NetworkOutput, Tensor]:
        """Segment `images` and return the gate's weights (B, E, D, H, W) over the experts at the finest level too.

        In the mode "image" the weights are the mean over the images.
        """
        stride = self.config.stride
        check_images(
            images,
            modalities,
            known=self.config.modalities,
            stride=stride // self.config.backbone_stride if at_backbone_resolution else stride,
        )
        if present is None:
            present = torch.ones(images.shape[:2], dtype=torch.bool, device=images.device)
        own: dict[str, NetworkOutput] = {}
        joined: list[tuple[NetworkOutput, Tensor]] = []
        if self.config.mode == "study":
            joined.append(self._join_study(images, modalities, present, own, at_backbone_resolution))
            fractions = torch.ones(len(images), 1, device=images.device)
        else:
            for index, name in enumerate(modalities):
                joined.append(self._join_image(images[:, index : index + 1], name, own, at_backbone_resolution))
            fractions = present / present.sum(dim=1, keepdim=True)
        deep_logits = zip(*(output.deep_logits for output, _ in joined), strict=True)
        output = NetworkOutput(
            _mean([output.logits for output, _ in joined], fractions),
            tuple(_mean(list(level), fractions) for level in deep_logits),
            tuple(decision for output, _ in joined for decision in output.routing),
            tuple(own[name] for name in modalities),
        )
        return output, _mean([weights for _, weights in joined], fractions)

    def _run_expert(self, name: str, image: Tensor, at_backbone_resolution: bool) -> ForwardPass:
        """Run an expert on one image (B, 1, D, H, W), whatever its modality."""
        expert = self.experts[name]
        assert isinstance(expert, MagpieNet)
        return expert.forward_with_features(image, [name], at_backbone_resolution=at_backbone_resolution)

    def _join_study(
        self,
        images: Tensor,
        modalities: Sequence[str],
        present: Tensor,
        own: dict[str, NetworkOutput],
        at_backbone_resolution: bool,
    ) -> tuple[NetworkOutput, Tensor]:
        """Run each expert on its own modality, and the gate on all of them."""
        features: dict[str, Tensor] = {}
        available = torch.zeros(len(images), len(self.config.modalities), dtype=torch.bool, device=images.device)
        for index, name in enumerate(modalities):
            passed = self._run_expert(name, images[:, index : index + 1], at_backbone_resolution)
            here = present[:, index, None, None, None, None]
            own[name] = passed.output
            features[name] = passed.encoder_features * here.to(passed.encoder_features.dtype)
            available[:, self.config.modalities.index(name)] = present[:, index]
        return self._weight(images, modalities, present, own, features, available, at_backbone_resolution)

    def _join_image(
        self, image: Tensor, name: str, own: dict[str, NetworkOutput], at_backbone_resolution: bool
    ) -> tuple[NetworkOutput, Tensor]:
        """Run every expert, and the gate, on the same image (B, 1, D, H, W)."""
        passes = {expert: self._run_expert(expert, image, at_backbone_resolution) for expert in self.config.modalities}
        outputs = {expert: passed.output for expert, passed in passes.items()}
        features = {expert: passed.encoder_features for expert, passed in passes.items()}
        own[name] = outputs[name]
        present = torch.ones(len(image), 1, dtype=torch.bool, device=image.device)
        available = present.expand(-1, len(passes))
        return self._weight(image, [name], present, outputs, features, available, at_backbone_resolution)

    def _weight(
        self,
        images: Tensor,
        modalities: Sequence[str],
        present: Tensor,
        outputs: Mapping[str, NetworkOutput],
        features: Mapping[str, Tensor],
        available: Tensor,
        at_backbone_resolution: bool,
    ) -> tuple[NetworkOutput, Tensor]:
        """Join the experts' levels by the gate; `available` (B, E) marks the experts that take part."""
        halved = self.config.backbone_stride == 2 and not at_backbone_resolution
        images = F.avg_pool3d(images, 2) if halved else images
        stem = self.gate_stem(images, modalities, present)
        absent = torch.zeros_like(stem)
        embedded = [features.get(name, absent).to(stem.dtype) for name in self.config.modalities]
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
                logits = (output.logits, *output.deep_logits)[number]
                joined = joined + weight[:, names.index(name), None] * logits
            levels.append(joined)
        expert_routing = [decision for output in outputs.values() for decision in output.routing]
        routing = (*encoder_routing, *decoder_routing, *expert_routing)
        return NetworkOutput(levels[0], tuple(levels[1:]), routing), weights[0]


def _mean(parts: list[Tensor], fractions: Tensor) -> Tensor:
    """Average parts (B, C, D, H, W), weighted by `fractions` (B, parts)."""
    total = torch.zeros((), device=fractions.device)
    for index, part in enumerate(parts):
        total = total + fractions[:, index, None, None, None, None] * part
    return total
