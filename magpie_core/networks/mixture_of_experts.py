"""Sparse mixture of experts: each token is routed to a few experts; losses and statistics of the routing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from magpie_core.networks.config import ExpertsConfig
from magpie_core.networks.convolution import InstanceNorm
from magpie_core.networks.ops.grouped_linear import grouped_linear


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


class MixtureOfExperts(nn.Module):
    """y = sum over the top k experts of p(e | x) FFN_e(x), with p(e | x) = softmax(h(x) W) (MAGPIE, equations 3, 4).

    By default the k probabilities are renormalized to 1: equation 4 taken literally starts with p = 1 / E each, which
    shrinks the branch by E / k. Tokens are sorted by expert and pass two grouped matrix products; there is no capacity
    limit, so that no token is dropped. The router computes in float32.

    Args:
        options: Number of experts, experts per token, renormalization and noise.
    """

    def __init__(self, channels: int, hidden: int, options: ExpertsConfig) -> None:
        super().__init__()
        experts = options.experts
        self.options = options
        self.router = nn.Linear(channels, experts, bias=False)
        nn.init.normal_(self.router.weight, std=0.02)
        self.expand = nn.Parameter(torch.randn(experts, channels, hidden) * channels**-0.5)
        self.expand_bias = nn.Parameter(torch.zeros(experts, hidden))
        self.compress = nn.Parameter(torch.randn(experts, hidden, channels) * hidden**-0.5)
        self.compress_bias = nn.Parameter(torch.zeros(experts, channels))

    @property
    def idle_parameters(self) -> int:
        """Number of parameters of the experts that a token is not routed to."""
        expert = self.expand[0].numel() + self.expand_bias[0].numel()
        expert += self.compress[0].numel() + self.compress_bias[0].numel()
        return expert * (self.options.experts - self.options.experts_per_token)

    def forward(self, tokens: Tensor, valid_mask: Tensor | None = None) -> tuple[Tensor, Routing]:
        """Route `tokens` (N, C); `valid_mask` (N,) bool marks those of the losses (all by default)."""
        with torch.autocast(tokens.device.type, enabled=False):
            logits = F.linear(tokens.float(), self.router.weight.float())
            if self.training and self.options.router_noise > 0:
                logits = logits + self.options.router_noise * torch.randn_like(logits)
            routing = route(logits, self.options.experts_per_token, valid_mask)
        gates = routing.probabilities.gather(1, routing.chosen)
        if self.options.renormalize:
            gates = gates / gates.sum(dim=1, keepdim=True)
        expert_of_row = routing.chosen.flatten()
        # A CPU sorts bytes by counting them.
        keys = expert_of_row.to(torch.uint8) if self.options.experts <= 256 else expert_of_row
        order = keys.argsort(stable=True)
        rows = order // self.options.experts_per_token
        counts = torch.bincount(expert_of_row, minlength=self.options.experts)
        autocast = torch.is_autocast_enabled(tokens.device.type)
        dtype = torch.get_autocast_dtype(tokens.device.type) if autocast else tokens.dtype
        expand, expand_bias = self.expand.to(dtype), self.expand_bias.to(dtype)
        hidden = F.gelu(grouped_linear(tokens.to(dtype).index_select(0, rows), expand, expand_bias, counts))
        outputs = grouped_linear(hidden, self.compress.to(dtype), self.compress_bias.to(dtype), counts)
        # Expanded first: a product that broadcasts a number over a row of bf16 is three times slower on a CPU.
        gates = gates.flatten().index_select(0, order)[:, None].to(dtype).expand_as(outputs).contiguous()
        return torch.zeros_like(tokens, dtype=dtype).index_add(0, rows, outputs * gates), routing


class ExpertBlock(nn.Module):
    """Residual block whose feed-forward branch is a mixture of experts; a token is a voxel of the map.

    Args:
        channels, hidden: Width of a token, and hidden width of one expert.
        options: See `MixtureOfExperts`.
        kernel: Size of a depthwise convolution before the normalization, as in a MedNeXt block; None for none.
    """

    def __init__(self, channels: int, hidden: int, options: ExpertsConfig, *, kernel: int | None = None) -> None:
        super().__init__()
        self.depthwise = (
            nn.Identity()
            if kernel is None
            else nn.Conv3d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        )
        self.norm = InstanceNorm(channels)
        self.mixture = MixtureOfExperts(channels, hidden, options)

    def forward(self, features: Tensor, valid_mask: Tensor) -> tuple[Tensor, Routing]:
        """Refine `features` (B, C, D, H, W); `valid_mask` (B, 1, D, H, W) bool marks the tokens of the losses."""
        batch, channels, *size = features.shape
        tokens = self.norm(self.depthwise(features)).permute(0, 2, 3, 4, 1).reshape(-1, channels)
        merged, routing = self.mixture(tokens, valid_mask.flatten())
        merged = merged.reshape(batch, *size, channels).permute(0, 4, 1, 2, 3)
        return features + merged.to(features.dtype), routing
