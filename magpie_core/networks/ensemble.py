"""Several networks of one kind that answer together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from magpie_core.errors import ModelError
from magpie_core.networks.config import NetworkConfig
from magpie_core.networks.magpie_net import MagpieNet
from magpie_core.networks.output import NetworkOutput


@dataclass(frozen=True)
class EnsembleConfig:
    """`count` networks alike.

    Raises
    ------
    ModelError
        If there are fewer than two.
    """

    network: NetworkConfig
    count: int

    def __post_init__(self) -> None:
        if self.count < 2:
            raise ModelError(
                "The network's configuration is impossible", cause="an ensemble has at least two members"
            )

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities that the members know."""
        return self.network.modalities

    @property
    def regions(self) -> tuple[str, ...]:
        """Output channels, in order."""
        return self.network.regions

    @property
    def stride(self) -> int:
        """Input voxels per voxel of the coarsest stage, along each axis."""
        return self.network.stride

    @property
    def backbone_stride(self) -> int:
        """See `NetworkConfig`."""
        return self.network.backbone_stride

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EnsembleConfig:
        """Build from plain values; unknown keys are refused (ModelError)."""
        if set(values) != {"kind", "network", "count"}:
            raise ModelError(
                "The network's configuration has keys that this version does not know, or lacks one",
                cause=f"an ensemble has 'network' and 'count', not {', '.join(sorted(values))}",
            )
        return cls(NetworkConfig.from_dict(values["network"]), int(values["count"]))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for YAML."""
        return {"kind": "ensemble", "network": self.network.to_dict(), "count": self.count}


class EnsembleNet(nn.Module):
    """The mean of the members' logits."""

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
        counted: Tensor | None = None,
        at_backbone_resolution: bool = False,
    ) -> NetworkOutput:
        """As `MagpieNet.forward`."""
        outputs = [
            member(
                images, modalities, present, counted=counted, at_backbone_resolution=at_backbone_resolution
            )
            for member in self.members
        ]
        return NetworkOutput(
            torch.stack([output.logits for output in outputs]).mean(dim=0),
            tuple(
                torch.stack(level).mean(dim=0)
                for level in zip(*(output.deep_logits for output in outputs), strict=True)
            ),
            tuple(routing for output in outputs for routing in output.routing),
        )

    @property
    def total_parameters(self) -> int:
        """All parameters."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def active_parameters(self) -> int:
        """Parameters that one voxel meets."""
        return sum(member.active_parameters for member in self.members)  # type: ignore[misc]
