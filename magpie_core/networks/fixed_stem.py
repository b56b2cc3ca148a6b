"""The usual stem: one convolution over fixed channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from magpie_core.networks.convolution import Convolution


class FixedStem(nn.Module):
    """One convolution over a channel per modality, zero where a modality is absent (the ablation "fixed channels").

    Parameters
    ----------
    modalities
        Names of the channels, in order.
    channels
        Output channels C.
    planes, kernel
        As in `ChannelAgnosticStem`.
    """

    def __init__(self, modalities: Sequence[str], channels: int, *, planes: int = 1, kernel: int = 3) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.planes = planes
        self.convolution = Convolution(len(self.modalities) * planes, channels, kernel)

    def forward(self, images: Tensor, modalities: Sequence[str], present: Tensor | None = None) -> Tensor:
        """Embed `images` (B, S * planes, D, H, W), in the order of `modalities`, to (B, C, D, H, W).

        `present` (B, S) bool says which modalities each sample has.
        """
        if present is not None:
            spread = present.repeat_interleave(self.planes, dim=1)
            images = images * spread[:, :, None, None, None].to(images.dtype)
        if tuple(modalities) != self.modalities:
            given = dict(zip(modalities, images.split(self.planes, dim=1), strict=True))
            absent = torch.zeros_like(images[:, : self.planes])
            images = torch.cat([given.get(name, absent) for name in self.modalities], dim=1)
        return self.convolution(images)
