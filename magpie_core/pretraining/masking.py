"""Which blocks of a box are hidden from the network."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from magpie_core.errors import InputError


def visible_blocks(brain: Tensor, *, edge: int, hidden: float, random: np.random.Generator) -> Tensor:
    """Hide a share of the blocks: those with brain and those of air alike, so that some brain is always seen.

    Parameters
    ----------
    brain
        (D, H, W) bool; each side a multiple of `edge`.
    edge
        Of a block, in voxels.
    hidden
        Share of the blocks that are hidden, 0 to 1.

    Returns
    -------
    Tensor
        (D, H, W) bool, true where the network may look.

    Raises
    ------
    InputError
        If the box does not divide into blocks.
    """
    if any(size % edge for size in brain.shape):
        raise InputError(
            f"A box of {' x '.join(map(str, brain.shape))} voxels does not divide into blocks of {edge}",
            remedy=f"Choose sizes that are multiples of {edge}",
        )
    shape = tuple(size // edge for size in brain.shape)
    split = brain.reshape(*(part for size in shape for part in (size, edge)))
    occupied = split.amax(dim=(1, 3, 5)).flatten().numpy()
    seen = np.ones(len(occupied), dtype=bool)
    for group in (np.flatnonzero(occupied), np.flatnonzero(~occupied)):
        count = min(round(hidden * len(group)), max(len(group) - 1, 0))
        seen[random.permutation(group)[:count]] = False
    blocks = torch.from_numpy(seen.reshape(shape))
    for axis in range(3):
        blocks = blocks.repeat_interleave(edge, dim=axis)
    return blocks
