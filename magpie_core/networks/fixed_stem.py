"""The usual stem: one convolution over fixed channels."""

from __future__ import annotations

from collections.abc import Sequence as Names

import torch
from torch import Tensor, nn

from magpie_core.networks.convolution import Convolution


class FixedStem(nn.Module):
    """One convolution over a channel per sequence, zero where a sequence is absent (the ablation "fixed channels").

    Parameters
    ----------
    sequences
        Names of the channels, in order.
    channels
        Output channels C.
    planes, kernel
        As in `ChannelAgnosticStem`.
    """

    def __init__(self, sequences: Names[str], channels: int, *, planes: int = 1, kernel: int = 3) -> None:
        super().__init__()
        self.sequences = tuple(sequences)
        self.planes = planes
        self.convolution = Convolution(len(self.sequences) * planes, channels, kernel)

    def forward(self, images: Tensor, sequences: Names[str], present: Tensor | None = None) -> Tensor:
        """Embed `images` (B, S * planes, D, H, W), in the order of `sequences`, to (B, C, D, H, W).

        `present` (B, S) bool says which sequences each sample has.
        """
        if present is not None:
            spread = present.repeat_interleave(self.planes, dim=1)
            images = images * spread[:, :, None, None, None].to(images.dtype)
        if tuple(sequences) != self.sequences:
            given = dict(zip(sequences, images.split(self.planes, dim=1), strict=True))
            absent = torch.zeros_like(images[:, : self.planes])
            images = torch.cat([given.get(name, absent) for name in self.sequences], dim=1)
        return self.convolution(images)
