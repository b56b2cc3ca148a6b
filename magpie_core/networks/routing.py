"""Routing of tokens to experts, with its losses and statistics."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Routing:
    """Routing of N tokens to E experts.

    Attributes:
        probabilities: (N, E) softmax of the router, float32.
        chosen: (N, k) indices of the experts that each token is routed to.
        balance_loss: Load-balancing loss E * sum_e load_e * mean p_e, 1 for a uniform load; scalar.
        z_loss: Mean squared log-sum-exp of the router's logits; scalar.
        load: (E,) fraction of the assignments to each expert, without gradient; sums to 1.
        entropy: Mean entropy of a token's probabilities, normalized to 0 to 1, without gradient; scalar.
        weight: (N,) weight of each token in the losses and statistics; sums to 1, or to 0 if no token is valid.

    Note:
        Losses and statistics are means over the valid tokens: not the background, nor what pretraining masks.
    """

    probabilities: Tensor
    chosen: Tensor
    balance_loss: Tensor
    z_loss: Tensor
    load: Tensor
    entropy: Tensor
    weight: Tensor


def route(logits: Tensor, experts_per_token: int, valid_mask: Tensor | None) -> Routing:
    """Route each token to its `experts_per_token` most probable experts by `logits` (N, E), float32.

    `valid_mask` (N,) bool marks the tokens of the losses and statistics; None for all.
    """
    experts = logits.shape[1]
    # The same as torch's softmax, which over so few numbers is four times slower on a CPU.
    log_sum = logits.logsumexp(dim=1)
    probabilities = (logits - log_sum[:, None]).exp()
    chosen = probabilities.topk(experts_per_token, dim=1).indices
    weight = torch.ones(len(logits), device=logits.device) if valid_mask is None else valid_mask.float()
    weight = weight / weight.sum().clamp_min(1.0)
    votes = weight[:, None].expand_as(chosen) / experts_per_token
    load = torch.bincount(chosen.flatten(), weights=votes.flatten(), minlength=experts).to(weight.dtype)
    importance = weight @ probabilities
    z_loss = weight @ log_sum.square()
    with torch.no_grad():
        token_entropy = log_sum - (probabilities * logits).sum(dim=1)
        entropy = (weight @ token_entropy) / torch.tensor(float(max(experts, 2))).log()
    return Routing(probabilities, chosen, experts * (load * importance).sum(), z_loss, load.detach(), entropy, weight)
