"""Configurations of networks that are made of several MAGPIE networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

from magpie_core.errors import ModelError
from magpie_core.networks.config import NetworkConfig, read_section
from magpie_core.storage.config import to_plain

C = TypeVar("C", bound="CompositeConfig")


@dataclass(frozen=True)
class CompositeConfig:
    """Base of the configurations below; `network` is that of each member."""

    kind: ClassVar[str]
    network: NetworkConfig

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities."""
        return self.network.modalities

    @property
    def regions(self) -> tuple[str, ...]:
        """Output channels, in order."""
        return self.network.regions

    @property
    def stride(self) -> int:
        """See `NetworkConfig`."""
        return self.network.stride

    @property
    def backbone_stride(self) -> int:
        """See `NetworkConfig`."""
        return self.network.backbone_stride

    @classmethod
    def from_dict(cls: type[C], values: Mapping[str, Any]) -> C:
        """Build from plain values; see `read_section`."""
        return read_section(cls, {key: value for key, value in values.items() if key != "kind"})

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for YAML."""
        return {"kind": self.kind, **to_plain(self)}


@dataclass(frozen=True)
class MomeConfig(CompositeConfig):
    """Configuration of a mixture of modality experts.

    `network` is that of the gate, and of each expert but for its modalities; its modalities name the experts. In the
    mode "study" each expert receives its own modality and the gate all of them, for one joint result. In the mode
    "image", as in the paper, every expert receives every image, one modality at a time, and the images' logits are
    averaged.

    Raises:
        ModelError: If the mode is unknown.
    """

    kind = "mome"
    mode: str = "study"

    def __post_init__(self) -> None:
        if self.mode not in ("study", "image"):
            raise ModelError("The network's configuration is invalid", cause='mode must be "study" or "image"')

    def expert(self, name: str) -> NetworkConfig:
        """Return the configuration of one expert, as it is first trained on its own modality."""
        return replace(self.network, modalities=(name,))


@dataclass(frozen=True)
class EnsembleConfig(CompositeConfig):
    """Configuration of an ensemble of `count` networks alike.

    Raises:
        ModelError: If there are fewer than two.
    """

    kind = "ensemble"
    count: int

    def __post_init__(self) -> None:
        if self.count < 2:
            raise ModelError("The network's configuration is invalid", cause="an ensemble has at least two members")
