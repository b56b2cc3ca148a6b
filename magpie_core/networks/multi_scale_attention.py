"""Multi-scale deformable attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from magpie_core.networks.convolution import Convolution, InstanceNorm
from magpie_core.networks.ops.deformable import deformable_attention
from magpie_core.networks.ops.sampling import grid_coordinates, voxel_centers, voxel_scale


class MultiScaleDeformableAttention(nn.Module):
    """x + gamma project(sum over S scales and N points of A_sn W_s F_s(p + dp_sn)) (MAGPIE's MS-DA, after CoTr).

    Every voxel p of a map samples `points` points near itself on every scale, in every head; A is a softmax over scales
    and points. Offsets dp are in voxels of their scale. They start as rays of growing length, one direction per head,
    and gamma starts at 0.01.

    Args:
        attention_channels, heads, points: Total width of the values, number of heads that share it, and sampling points
            per head and scale.
    """

    def __init__(
        self,
        channels: int,
        level_channels: Sequence[int],
        *,
        attention_channels: int = 128,
        heads: int = 8,
        points: int = 4,
    ) -> None:
        super().__init__()
        levels = len(level_channels)
        self.shape = (heads, levels, points)
        self.norm = InstanceNorm(channels)
        self.offsets = nn.Linear(channels, heads * levels * points * 3)
        self.scores = nn.Linear(channels, heads * levels * points)
        self.values = nn.ModuleList([Convolution(width, attention_channels, 1) for width in level_channels])
        self.project = nn.Linear(attention_channels, channels)
        self.gamma = nn.Parameter(torch.full((channels,), 1e-2))
        for parameter in (self.offsets.weight, self.scores.weight, self.scores.bias):
            nn.init.zeros_(parameter)
        with torch.no_grad():
            self.offsets.bias.copy_(_rays(heads, levels, points).flatten())

    def forward(self, features: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Let `features` (B, C, D, H, W) attend to `maps`, each (B, C_l, D_l, H_l, W_l) of the same field of view."""
        batch, channels, *size = features.shape
        heads = self.shape[0]
        tokens = self._tokens(features)
        sampling_offsets, weights = self._sampling(tokens)
        scales = torch.stack([voxel_scale(level.shape[2:], like=sampling_offsets) for level in maps])
        centers = grid_coordinates(voxel_centers(size, like=sampling_offsets), size).reshape(1, -1, 1, 1, 1, 3)
        locations = centers + sampling_offsets * scales[:, None]
        values = [value(level).unflatten(1, (heads, -1)) for value, level in zip(self.values, maps, strict=True)]
        attended = deformable_attention(values, locations, weights)
        mixed = self.gamma * self.project(attended.to(tokens.dtype))
        return features + mixed.transpose(1, 2).reshape(batch, channels, *size).to(features.dtype)

    def sampling(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the sampling offsets and attention weights of every voxel of `features` (B, C, D, H, W).

        Returns:
            tuple: Offsets (B, D H W, heads, levels, points, 3) in voxels of each level, x, y, z = W, H, D; and weights
                (B, D H W, heads, levels, points), which sum to 1 over levels and points.
        """
        return self._sampling(self._tokens(features))

    def _tokens(self, features: Tensor) -> Tensor:
        tokens: Tensor = self.norm(features).flatten(2).transpose(1, 2)
        return tokens

    def _sampling(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        heads, levels, points = self.shape
        offsets = self.offsets(tokens)
        precise = torch.promote_types(offsets.dtype, torch.float32)
        offsets = offsets.to(precise).unflatten(2, (heads, levels, points, 3))
        scores = self.scores(tokens).to(precise).unflatten(2, (heads, levels * points))
        return offsets, scores.softmax(dim=-1).unflatten(3, (levels, points))


def _rays(heads: int, levels: int, points: int) -> Tensor:
    """Initial offsets (M, L, P, 3) in voxels: one direction per head, point n at a distance of n + 1 voxels."""
    number = torch.arange(heads, dtype=torch.float32) + 0.5
    height = 1 - 2 * number / heads
    turn = number * torch.pi * (1 + 5**0.5)
    radius = (1 - height**2).sqrt()
    directions = torch.stack([radius * turn.cos(), radius * turn.sin(), height], dim=1)
    lengths = torch.arange(1, points + 1, dtype=torch.float32)
    return (directions[:, None, None] * lengths[None, None, :, None]).expand(heads, levels, points, 3)
