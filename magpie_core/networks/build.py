"""From a configuration to a network, and from plain values to a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from magpie_core.errors import ModelError
from magpie_core.networks.config import NetworkConfig
from magpie_core.networks.ensemble import EnsembleConfig, EnsembleNet
from magpie_core.networks.magpie_net import MagpieNet
from magpie_core.networks.mome_config import MomeConfig
from magpie_core.networks.mome_net import MomeNet

AnyConfig = NetworkConfig | MomeConfig | EnsembleConfig
Network = MagpieNet | MomeNet | EnsembleNet


def read_config(values: Mapping[str, Any]) -> AnyConfig:
    """Configuration from the 'network' section of a model.yaml; unknown keys are refused (ModelError)."""
    kind = values.get("kind")
    if kind == "mome":
        return MomeConfig.from_dict(values)
    return EnsembleConfig.from_dict(values) if kind == "ensemble" else NetworkConfig.from_dict(values)


def build_network(config: AnyConfig) -> Network:
    """A new network, randomly initialized (torch's global generator)."""
    if isinstance(config, MomeConfig):
        return MomeNet(config)
    return EnsembleNet(config) if isinstance(config, EnsembleConfig) else MagpieNet(config)


def grow_network(network: Network, config: AnyConfig) -> Network:
    """A network with more parts: what both have is taken over, what is new starts as any new part does.

    The attentions' gamma starts small, so that the grown network does at first nearly what the other did.

    Raises
    ------
    ModelError
        If the new network lacks a part of the old, or a part has another size.
    """
    grown = build_network(config)
    before, after = network.state_dict(), grown.state_dict()
    misfits = sorted(
        name for name, value in before.items() if name not in after or after[name].shape != value.shape
    )
    if misfits:
        raise ModelError(
            "The network cannot grow into the other one",
            cause=f"{len(misfits)} of its parts have no place there, such as {misfits[0]}",
        )
    grown.load_state_dict(after | before)
    return grown
