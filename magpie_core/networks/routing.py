"""What a router decided, and the losses and statistics of its decision."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Routing:
    """The decision of a router for N tokens and E experts.

    Attributes
    ----------
    probabilities
        (N, E) softmax of the router, float32.
    chosen
        (N, k) indices of the experts that saw each token.
    balance_loss
        Load-balancing loss E * sum_e load_e * mean p_e, 1 when every expert has the same share; scalar.
    z_loss
        Mean squared log-sum-exp of the router's logits; scalar.
    load
        (E,) share of the choices that fell on each expert, without gradient; sums to 1.
    entropy
        Mean entropy of a token's probabilities as a share of the greatest possible, 0 to 1, without gradient; scalar.
    weight
        (N,) how far each token counts; sums to 1, unless none does.

    Notes
    -----
    Losses and statistics are means over the tokens that are counted: not the air around the brain, nor what masking
    hid in pretraining.
    """

    probabilities: Tensor
    chosen: Tensor
    balance_loss: Tensor
    z_loss: Tensor
    load: Tensor
    entropy: Tensor
    weight: Tensor


def route(logits: Tensor, experts_per_token: int, counted: Tensor | None) -> Routing:
    """Choose the `experts_per_token` likeliest experts by `logits` (N, E), float32; `counted` is (N,) bool or None."""
    experts = logits.shape[1]
    # As torch's softmax, which over so few numbers is four times slower on a processor.
    log_sum = logits.logsumexp(dim=1)
    probabilities = (logits - log_sum[:, None]).exp()
    chosen = probabilities.topk(experts_per_token, dim=1).indices
    weight = torch.ones(len(logits), device=logits.device) if counted is None else counted.float()
    weight = weight / weight.sum().clamp_min(1.0)
    votes = weight[:, None].expand_as(chosen) / experts_per_token
    load = torch.bincount(chosen.flatten(), weights=votes.flatten(), minlength=experts).to(weight.dtype)
    importance = weight @ probabilities
    z_loss = weight @ log_sum.square()
    with torch.no_grad():
        surprise = log_sum - (probabilities * logits).sum(dim=1)
        entropy = (weight @ surprise) / torch.tensor(float(max(experts, 2))).log()
    return Routing(
        probabilities, chosen, experts * (load * importance).sum(), z_loss, load.detach(), entropy, weight
    )
