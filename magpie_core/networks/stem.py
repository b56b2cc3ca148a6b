"""Stems: from any subset of modalities to one feature map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from magpie_core.networks.convolution import Convolution, convolve


class ChannelAgnosticStem(nn.Module):
    """Embed each modality separately and add the embeddings by learned importance.

    f = sum_i alpha_i f_i with alpha = softmax of the importances w_i over the modalities that are present
    (MAGPIE, equations 1 and 2). Embeddings and importances belong to a modality's *name*, so that the order of the
    input does not matter and an absent modality has no influence. Because each embedding is linear, the weighted sum
    is one convolution of the scaled images.

    Args:
        inputs: Input channels P per modality: 1 for an image, 8 for its 2 x 2 x 2 sub-voxels.
        kernel: Size of the embedding's kernels, odd.
    """

    def __init__(self, modalities: Sequence[str], channels: int, *, inputs: int = 1, kernel: int = 3) -> None:
        super().__init__()
        self.inputs = inputs
        self.kernels = nn.ParameterDict()
        self.biases = nn.ParameterDict()
        self.importance = nn.ParameterDict()
        for name in modalities:
            kernels = torch.empty(channels, inputs, kernel, kernel, kernel)
            nn.init.kaiming_normal_(kernels, a=0.01)
            self.kernels[name] = nn.Parameter(kernels)
            self.biases[name] = nn.Parameter(torch.zeros(channels))
            self.importance[name] = nn.Parameter(torch.zeros(()))

    def weights(self, modalities: Sequence[str], present: Tensor) -> Tensor:
        """Compute the importance alpha of each modality, (B, S), zero where absent; `present` is (B, S) bool."""
        scores = torch.stack([self.importance[name] for name in modalities]).float()
        return scores.masked_fill(~present, -torch.inf).softmax(dim=1)

    def forward(self, images: Tensor, modalities: Sequence[str], present: Tensor | None = None) -> Tensor:
        """Embed `images` (B, S * P, D, H, W), the channels of one modality adjacent, to (B, C, D, H, W).

        `present` (B, S) bool marks the modalities of each sample; every sample has at least one.
        """
        batch, count = images.shape[0], len(modalities)
        if present is None:
            present = torch.ones(batch, count, dtype=torch.bool, device=images.device)
        alpha = self.weights(modalities, present)
        expanded = alpha.unflatten(1, (count, 1)).expand(-1, -1, self.inputs).flatten(1)
        scaled = images * expanded[:, :, None, None, None].to(images.dtype)
        kernel = torch.cat([self.kernels[name] for name in modalities], dim=1)
        features = convolve(scaled, kernel)
        bias = alpha @ torch.stack([self.biases[name] for name in modalities]).float()
        return features + bias[:, :, None, None, None].to(features.dtype)


class FixedStem(nn.Module):
    """One convolution over fixed channels, zero where a modality is absent (the ablation "fixed channels")."""

    def __init__(self, modalities: Sequence[str], channels: int, *, inputs: int = 1, kernel: int = 3) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.inputs = inputs
        self.convolution = Convolution(len(self.modalities) * inputs, channels, kernel)

    def forward(self, images: Tensor, modalities: Sequence[str], present: Tensor | None = None) -> Tensor:
        """Embed `images` as `ChannelAgnosticStem.forward` does."""
        if present is not None:
            expanded = present.repeat_interleave(self.inputs, dim=1)
            images = images * expanded[:, :, None, None, None].to(images.dtype)
        if tuple(modalities) != self.modalities:
            given = dict(zip(modalities, images.split(self.inputs, dim=1), strict=True))
            absent = torch.zeros_like(images[:, : self.inputs])
            images = torch.cat([given.get(name, absent) for name in self.modalities], dim=1)
        return self.convolution(images)


def build_stem(
    channel_agnostic: bool, modalities: Sequence[str], channels: int, *, inputs: int = 1, kernel: int = 3
) -> ChannelAgnosticStem | FixedStem:
    """Build the stem of a network; parameters as in `ChannelAgnosticStem`."""
    stem = ChannelAgnosticStem if channel_agnostic else FixedStem
    return stem(modalities, channels, inputs=inputs, kernel=kernel)
