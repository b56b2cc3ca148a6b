"""Sparse mixture of experts over voxels: each token is seen by the few experts its router picks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Routing:
    """What a router decided for N tokens and E experts.

    Attributes
    ----------
    probabilities
        (N, E) softmax of the router, float32.
    chosen
        (N, k) indices of the experts that saw each token.
    balance_loss
        Load-balancing loss, 1 when every expert has the same share; scalar.
    z_loss
        Mean squared log-sum-exp of the router's logits; scalar.
    """

    probabilities: Tensor
    chosen: Tensor
    balance_loss: Tensor
    z_loss: Tensor


class MixtureOfExperts(nn.Module):
    """y = sum over the top k experts of p(e | x) FFN_e(x), with p(e | x) = softmax(h(x) W) (MAGPIE, equations 3, 4).

    The k probabilities are renormalised to 1: equation 4 taken literally starts with p = 1 / E each, which shrinks
    the branch E / k fold. Tokens are sorted by expert and go through two grouped matrix products; none is dropped.

    Parameters
    ----------
    channels
        Width of a token.
    hidden
        Hidden width of one expert.
    experts, experts_per_token
        E and k.
    """

    def __init__(self, channels: int, hidden: int, *, experts: int, experts_per_token: int) -> None:
        super().__init__()
        self.experts_per_token = experts_per_token
        self.router = nn.Linear(channels, experts, bias=False)
        nn.init.normal_(self.router.weight, std=0.02)
        self.expand = nn.Parameter(torch.randn(experts, channels, hidden) * channels**-0.5)
        self.expand_bias = nn.Parameter(torch.zeros(experts, hidden))
        self.compress = nn.Parameter(torch.randn(experts, hidden, channels) * hidden**-0.5)
        self.compress_bias = nn.Parameter(torch.zeros(experts, channels))

    def forward(self, tokens: Tensor, counted: Tensor | None = None) -> tuple[Tensor, Routing]:
        """Route `tokens` (N, C); `counted` (N,) bool says which of them the balance loss counts (all by default)."""
        with torch.autocast(tokens.device.type, enabled=False):
            logits = F.linear(tokens.float(), self.router.weight.float())
            probabilities = logits.softmax(dim=1)
            share, chosen = probabilities.topk(self.experts_per_token, dim=1)
            share = share / share.sum(dim=1, keepdim=True)
            routing = Routing(probabilities, chosen, *_routing_losses(logits, probabilities, chosen, counted))
        expert_of_row = chosen.flatten()
        order = expert_of_row.argsort(stable=True)
        rows = order // self.experts_per_token
        experts = self.expand.shape[0]
        counts = torch.bincount(expert_of_row, minlength=experts)
        sorted_expert = expert_of_row[order]
        dtype = torch.get_autocast_dtype(tokens.device.type) if _autocast(tokens) else tokens.dtype
        inputs = tokens[rows].to(dtype)
        hidden = F.gelu(
            _grouped_product(inputs, self.expand.to(dtype), counts)
            + self.expand_bias.to(dtype)[sorted_expert]
        )
        outputs = (
            _grouped_product(hidden, self.compress.to(dtype), counts)
            + self.compress_bias.to(dtype)[sorted_expert]
        )
        outputs = outputs * share.flatten()[order, None].to(dtype)
        merged = torch.zeros_like(tokens, dtype=dtype).index_add(0, rows, outputs)
        return merged, routing


class ExpertBlock(nn.Module):
    """Residual mixture of experts on a feature map; a token is a voxel of the map."""

    def __init__(self, channels: int, hidden: int, *, experts: int, experts_per_token: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(channels, channels)
        self.mixture = MixtureOfExperts(
            channels, hidden, experts=experts, experts_per_token=experts_per_token
        )

    def forward(self, features: Tensor, inside: Tensor | None = None) -> tuple[Tensor, Routing]:
        """Refine `features` (B, C, D, H, W); `inside` (B, 1, D, H, W) bool marks the tokens that are not air."""
        batch, channels, *size = features.shape
        tokens = self.norm(features).permute(0, 2, 3, 4, 1).reshape(-1, channels)
        merged, routing = self.mixture(tokens, None if inside is None else inside.flatten())
        merged = merged.reshape(batch, *size, channels).permute(0, 4, 1, 2, 3)
        return features + merged.to(features.dtype), routing


def _autocast(tokens: Tensor) -> bool:
    return torch.is_autocast_enabled(tokens.device.type)


def _routing_losses(
    logits: Tensor, probabilities: Tensor, chosen: Tensor, counted: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Balance loss E * sum_e load_e * mean p_e (1 when even) and z loss over the counted tokens."""
    experts = logits.shape[1]
    weight = torch.ones(len(logits), device=logits.device) if counted is None else counted.float()
    total = weight.sum().clamp_min(1.0)
    load = F.one_hot(chosen, experts).float().mean(dim=1)
    load = (load * weight[:, None]).sum(dim=0) / total
    importance = (probabilities * weight[:, None]).sum(dim=0) / total
    z_loss = (logits.logsumexp(dim=1).square() * weight).sum() / total
    return experts * (load * importance).sum(), z_loss


def _grouped_product(rows: Tensor, matrices: Tensor, counts: Tensor) -> Tensor:
    """Multiply rows (N, C), sorted by group, with their group's matrix (E, C, H)."""
    return torch.cat(
        [part @ matrix for part, matrix in zip(rows.split(counts.tolist()), matrices, strict=True)]
    )
