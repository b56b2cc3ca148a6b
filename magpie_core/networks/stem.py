"""StdioTransport-agnostic stem: any subset of modalities, in any order, to one feature map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from magpie_core.networks.convolution import convolve


class ChannelAgnosticStem(nn.Module):
    """Embed each modality on its own and add the embeddings by learned importance.

    f = sum_i alpha_i f_i with alpha = softmax of the importances w_i over the modalities that are present
    (MAGPIE, equations 1 and 2). Embeddings and importances belong to a modality's *name*, so that the order of the
    input does not matter and an absent modality has no influence. Because each embedding is linear, the weighted sum
    is one convolution of the scaled images.

    Parameters
    ----------
    modalities
        Names of the modalities that can be embedded.
    channels
        Output channels C.
    planes
        Input planes per modality (1 for an image; 8 for its 2 x 2 x 2 sub-voxels).
    kernel
        Size of the embedding's kernels, odd.
    """

    def __init__(self, modalities: Sequence[str], channels: int, *, planes: int = 1, kernel: int = 3) -> None:
        super().__init__()
        self.channels, self.planes, self.kernel = channels, planes, kernel
        self.kernels = nn.ParameterDict()
        self.biases = nn.ParameterDict()
        self.importance = nn.ParameterDict()
        for name in modalities:
            kernels = torch.empty(channels, planes, kernel, kernel, kernel)
            nn.init.kaiming_normal_(kernels, a=0.01)
            self._add(name, kernels, torch.zeros(channels), torch.zeros(()))

    def register(self, name: str) -> None:
        """Learn to know one more modality: its embedding starts as the mean of the others', all of which stay."""
        means = [
            torch.stack(list(known.values())).detach().mean(dim=0)
            for known in (self.kernels, self.biases, self.importance)
        ]
        self._add(name, *means)

    def _add(self, name: str, kernel: Tensor, bias: Tensor, importance: Tensor) -> None:
        self.kernels[name] = nn.Parameter(kernel)
        self.biases[name] = nn.Parameter(bias)
        self.importance[name] = nn.Parameter(importance)

    def weights(self, modalities: Sequence[str], present: Tensor) -> Tensor:
        """Importance alpha of each modality, (B, S), zero where absent; `present` is (B, S) bool."""
        scores = torch.stack([self.importance[name] for name in modalities]).float()
        return scores.masked_fill(~present, -torch.inf).softmax(dim=1)

    def forward(self, images: Tensor, modalities: Sequence[str], present: Tensor | None = None) -> Tensor:
        """Embed `images` (B, S * planes, D, H, W), whose planes of one modality are neighbors, to (B, C, D, H, W).

        `present` (B, S) bool says which modalities each sample has; every sample has at least one.
        """
        batch, count = images.shape[0], len(modalities)
        if present is None:
            present = torch.ones(batch, count, dtype=torch.bool, device=images.device)
        alpha = self.weights(modalities, present)
        spread = alpha.unflatten(1, (count, 1)).expand(-1, -1, self.planes).flatten(1)
        scaled = images * spread[:, :, None, None, None].to(images.dtype)
        kernel = torch.cat([self.kernels[name] for name in modalities], dim=1)
        features = convolve(scaled, kernel)
        bias = alpha @ torch.stack([self.biases[name] for name in modalities]).float()
        return features + bias[:, :, None, None, None].to(features.dtype)
