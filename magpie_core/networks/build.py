"""Build networks from configurations."""

from __future__ import annotations

from magpie_core.errors import ModelError
from magpie_core.networks.config import AnyConfig, EnsembleConfig, MomeConfig
from magpie_core.networks.magpie_net import EnsembleNet, MagpieNet
from magpie_core.networks.mome_net import MomeNet

Network = MagpieNet | MomeNet | EnsembleNet


def build_network(config: AnyConfig) -> Network:
    """Build a network, randomly initialized from torch's global generator."""
    if isinstance(config, MomeConfig):
        return MomeNet(config)
    return EnsembleNet(config) if isinstance(config, EnsembleConfig) else MagpieNet(config)


def extend_network(network: Network, config: AnyConfig) -> Network:
    """Build a network with more parts that takes over the weights of `network`; the new parts start untrained.

    Experts of the decoder start without influence and the attentions' gamma starts small, so that the extended network
    gives at first the same, or nearly the same, logits.

    Raises:
        ModelError: If the new network lacks a part of the old one, or a part has another size.
    """
    extended = build_network(config)
    before, after = network.state_dict(), extended.state_dict()
    misfits = sorted(name for name, value in before.items() if name not in after or after[name].shape != value.shape)
    if misfits:
        raise ModelError(
            "Cannot extend the network to this configuration",
            cause=f"{len(misfits)} of its weights do not fit there, such as {misfits[0]}",
            remedy="Choose a network with the same backbone and more parts",
        )
    extended.load_state_dict(after | before)
    return extended
