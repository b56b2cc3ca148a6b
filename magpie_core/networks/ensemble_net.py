"""Ensemble of networks alike."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from magpie_core.networks.config import EnsembleConfig
from magpie_core.networks.magpie_net import MagpieNet, NetworkOutput


class EnsembleNet(nn.Module):
    """Mean of the members' logits."""

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
        valid_mask: Tensor | None = None,
        at_backbone_resolution: bool = False,
    ) -> NetworkOutput:
        """Segment images; see `MagpieNet.forward`."""
        options = {"valid_mask": valid_mask, "at_backbone_resolution": at_backbone_resolution}
        outputs = [member(images, modalities, present, **options) for member in self.members]
        deep_logits = zip(*(output.deep_logits for output in outputs), strict=True)
        return NetworkOutput(
            torch.stack([output.logits for output in outputs]).mean(dim=0),
            tuple(torch.stack(level).mean(dim=0) for level in deep_logits),
            tuple(routing for output in outputs for routing in output.routing),
        )
