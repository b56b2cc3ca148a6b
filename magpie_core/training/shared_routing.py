"""The routers' losses and statistics over the tokens of all processes."""

from __future__ import annotations

from dataclasses import replace

import torch

from magpie_core.networks.routing import Routing
from magpie_core.training import distributed


def shared_routing(routing: Routing) -> Routing:
    """The decision with losses, load and entropy of all processes' tokens; the same one where a process is alone.

    The balance loss is no mean of the processes' own: it is that of their common load and probabilities.
    """
    if distributed.count() == 1:
        return routing
    tokens = (routing.weight > 0).sum()
    experts = len(routing.load)
    own = torch.cat(
        [
            routing.load,
            routing.weight @ routing.probabilities,
            routing.z_loss[None],
            routing.entropy[None],
            torch.ones_like(routing.entropy)[None],
        ]
    )
    summed = distributed.total(own * tokens)
    means = summed / summed[-1].detach().clamp_min(1.0)
    load, importance = means[:experts], means[experts : 2 * experts]
    return replace(
        routing,
        balance_loss=experts * (load * importance).sum(),
        z_loss=means[-3],
        load=load.detach(),
        entropy=means[-2].detach(),
    )
