"""The configuration of a mixture of modality experts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from magpie_core.errors import ModelError
from magpie_core.networks.config import NetworkConfig


@dataclass(frozen=True)
class MomeConfig:
    """A mixture of modality experts.

    Attributes
    ----------
    network
        Of the gate, and of each expert but for its modalities; `network.modalities` names the experts.
    mode
        "study": each expert looks at its own modality and the gate at all of them, for one joint result. "image", as
        in the paper: every expert looks at every image, one modality at a time; the images' logits are averaged.

    Raises
    ------
    ModelError
        If the mode is unknown.
    """

    network: NetworkConfig
    mode: str = "study"

    def __post_init__(self) -> None:
        if self.mode not in ("study", "image"):
            raise ModelError(
                "The network's configuration is impossible", cause='mode must be "study" or "image"'
            )

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the experts."""
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

    def expert(self, name: str) -> NetworkConfig:
        """The network of one expert, as it is trained on its own modality first."""
        return replace(self.network, modalities=(name,))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MomeConfig:
        """Build from plain values; unknown keys are refused (ModelError)."""
        unknown = sorted(set(values) - {"kind", "network", "mode"})
        if unknown or "network" not in values:
            raise ModelError(
                "The network's configuration has keys that this version does not know"
                if unknown
                else "The network's configuration lacks a key",
                cause=f"unknown: {', '.join(unknown)}" if unknown else "'network' is missing",
            )
        return cls(NetworkConfig.from_dict(values["network"]), str(values.get("mode", "study")))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for YAML."""
        return {"kind": "mome", "network": self.network.to_dict(), "mode": self.mode}
