"""Mixture of modality experts (MoME): a network per sequence, and one that weighs them voxel by voxel."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Names

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from magpie_core.errors import ModelError
from magpie_core.networks.convolution import Convolution
from magpie_core.networks.decoder import Decoder
from magpie_core.networks.encoder import Encoder
from magpie_core.networks.magpie_net import MagpieNet, check_images
from magpie_core.networks.mome_config import MomeConfig
from magpie_core.networks.output import NetworkOutput
from magpie_core.networks.stem import ChannelAgnosticStem


class MomeNet(nn.Module):
    """Experts' logits e_i joined at every decoder level l: sum_i g_i^l e_i^l (MoME, MICCAI 2024, equation 1).

    The gate is a network of its own. It sees the images and the first features of every expert, and gives each voxel
    at each level a softmax over the experts.

    Parameters
    ----------
    config
        Sizes and mode.
    """

    def __init__(self, config: MomeConfig) -> None:
        super().__init__()
        self.config = config
        network = config.network
        self.experts = nn.ModuleDict({name: MagpieNet(config.expert(name)) for name in config.sequences})
        width = network.widths[0]
        self.gate_stem = ChannelAgnosticStem(config.sequences, width)
        self.gate_join = Convolution(width * (1 + len(config.sequences)), width, 1)
        self.gate_encoder = Encoder(network)
        self.gate_decoder = Decoder(network)
        self.gate_heads = nn.ModuleList(
            [
                Convolution(network.widths[stage], len(config.sequences), 1)
                for stage in range(network.deep_supervision + 1)
            ]
        )

    def take_experts(self, weights: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Start from experts that were each trained on their own sequence (`MomeConfig.expert`), by name.

        Raises
        ------
        ModelError
            If one is missing or does not fit.
        """
        missing = [name for name in self.experts if name not in weights]
        if missing:
            raise ModelError("Experts are missing", cause=f"none for {', '.join(missing)}")
        for name, expert in self.experts.items():
            try:
                expert.load_state_dict(dict(weights[name]))
            except RuntimeError as error:
                raise ModelError(
                    f"The expert for {name} does not fit", cause=str(error).splitlines()[0]
                ) from error

    def forward(
        self,
        images: Tensor,
        sequences: Names[str],
        present: Tensor | None = None,
        *,
        at_body_resolution: bool = False,
    ) -> NetworkOutput:
        """Segment `images` (B, S, D, H, W) as `MagpieNet.forward` does.

        `output.own` holds each given sequence's expert alone, for the curriculum.

        Raises
        ------
        ModelError
            If a sequence is unknown or the size does not fit.
        """
        return self.look(images, sequences, present, at_body_resolution=at_body_resolution)[0]

    def look(
        self,
        images: Tensor,
        sequences: Names[str],
        present: Tensor | None = None,
        *,
        at_body_resolution: bool = False,
    ) -> tuple[NetworkOutput, Tensor]:
        """As `forward`, with the gate's weights (B, E, D, H, W) over the experts at the finest level.

        In the mode "image" the weights are the mean over the images.
        """
        stride = self.config.stride
        check_images(
            images,
            sequences,
            known=self.config.sequences,
            stride=stride // self.config.network.body_stride if at_body_resolution else stride,
        )
        if present is None:
            present = torch.ones(images.shape[:2], dtype=torch.bool, device=images.device)
        own: dict[str, NetworkOutput] = {}
        looks: list[tuple[NetworkOutput, Tensor]] = []
        if self.config.mode == "study":
            looks.append(self._join_study(images, sequences, present, own, at_body_resolution))
            share = torch.ones(len(images), 1, device=images.device)
        else:
            for index, name in enumerate(sequences):
                looks.append(self._join_image(images[:, index : index + 1], name, own, at_body_resolution))
            share = present / present.sum(dim=1, keepdim=True)
        output = NetworkOutput(
            _mean([output.logits for output, _ in looks], share),
            tuple(
                _mean(list(level), share)
                for level in zip(*(output.deep_logits for output, _ in looks), strict=True)
            ),
            tuple(decision for output, _ in looks for decision in output.routing),
            tuple(own[name] for name in sequences),
        )
        return output, _mean([weights for _, weights in looks], share)

    def _expert(self, name: str) -> MagpieNet:
        expert = self.experts[name]
        assert isinstance(expert, MagpieNet)
        return expert

    def _join_study(
        self,
        images: Tensor,
        sequences: Names[str],
        present: Tensor,
        own: dict[str, NetworkOutput],
        at_body_resolution: bool,
    ) -> tuple[NetworkOutput, Tensor]:
        """Each expert on its own sequence; the gate on all of them."""
        outputs: dict[str, NetworkOutput] = {}
        firsts: dict[str, Tensor] = {}
        available = torch.zeros(
            len(images), len(self.config.sequences), dtype=torch.bool, device=images.device
        )
        for index, name in enumerate(sequences):
            look = self._expert(name).look(
                images[:, index : index + 1], [name], at_body_resolution=at_body_resolution
            )
            here = present[:, index, None, None, None, None]
            outputs[name] = own[name] = look.output
            firsts[name] = look.first * here.to(look.first.dtype)
            available[:, self.config.sequences.index(name)] = present[:, index]
        return self._weigh(images, sequences, present, outputs, firsts, available, at_body_resolution)

    def _join_image(
        self, image: Tensor, name: str, own: dict[str, NetworkOutput], at_body_resolution: bool
    ) -> tuple[NetworkOutput, Tensor]:
        """Every expert on the same image (B, 1, D, H, W), whichever sequence it is."""
        looks = {
            expert: self._expert(expert).look(image, [expert], at_body_resolution=at_body_resolution)
            for expert in self.config.sequences
        }
        own[name] = looks[name].output
        present = torch.ones(len(image), 1, dtype=torch.bool, device=image.device)
        return self._weigh(
            image,
            [name],
            present,
            {expert: look.output for expert, look in looks.items()},
            {expert: look.first for expert, look in looks.items()},
            present.expand(-1, len(looks)),
            at_body_resolution,
        )

    def _weigh(
        self,
        images: Tensor,
        sequences: Names[str],
        present: Tensor,
        outputs: Mapping[str, NetworkOutput],
        firsts: Mapping[str, Tensor],
        available: Tensor,
        at_body_resolution: bool,
    ) -> tuple[NetworkOutput, Tensor]:
        """Join the experts' levels by the gate; `available` (B, E) says which experts take part."""
        halved = self.config.network.body_stride == 2 and not at_body_resolution
        looked = F.avg_pool3d(images, 2) if halved else images
        stem = self.gate_stem(looked, sequences, present)
        absent = torch.zeros_like(stem)
        features = [firsts.get(name, absent).to(stem.dtype) for name in self.config.sequences]
        counted = (looked != 0).any(dim=1, keepdim=True).float()
        maps, routing = self.gate_encoder(self.gate_join(torch.cat([stem, *features], dim=1)), counted)
        refined, refining = self.gate_decoder(maps, counted)
        closed = ~available[:, :, None, None, None]
        weights = [
            head(level).float().masked_fill(closed, -torch.inf).softmax(dim=1)
            for head, level in zip(self.gate_heads, refined, strict=False)
        ]
        if halved:
            weights.insert(0, F.interpolate(weights[0], scale_factor=2, mode="nearest"))
        names = self.config.sequences
        levels = []
        for number, weight in enumerate(weights):
            joined = torch.zeros((), device=images.device)
            for name, output in outputs.items():
                logits = (output.logits, *output.deep_logits)[number]
                joined = joined + weight[:, names.index(name), None] * logits
            levels.append(joined)
        routing = [
            *routing,
            *refining,
            *(decision for output in outputs.values() for decision in output.routing),
        ]
        return NetworkOutput(levels[0], tuple(levels[1:]), tuple(routing)), weights[0]


def _mean(parts: list[Tensor], share: Tensor) -> Tensor:
    """Mean over parts (B, C, D, H, W), weighted by `share` (B, parts)."""
    total = torch.zeros((), device=share.device)
    for index, part in enumerate(parts):
        total = total + share[:, index, None, None, None, None] * part
    return total
