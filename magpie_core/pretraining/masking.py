"""Random block masks of views."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from magpie_core.errors import InputError


def visible_blocks(brain: Tensor, *, block_size: int, mask_ratio: float, rng: np.random.Generator) -> Tensor:
    """Mask a fraction of the blocks with brain and as many of those without, so that some brain is always visible.

    Args:
        brain: (D, H, W) bool; each side a multiple of `block_size`.
        block_size: Edge of a block in voxels.
        mask_ratio: Fraction of the blocks that are masked, 0 to 1.

    Returns:
        Tensor: (D, H, W) bool, true where visible to the network.

    Raises:
        InputError: If the view does not divide into blocks.
    """
    if any(size % block_size for size in brain.shape):
        raise InputError(
            f"Cannot divide a view of {' x '.join(map(str, brain.shape))} voxels into blocks of {block_size}",
            remedy=f"Choose sizes that are multiples of {block_size}",
        )
    shape = tuple(size // block_size for size in brain.shape)
    split = brain.reshape(*(part for size in shape for part in (size, block_size)))
    occupied = split.amax(dim=(1, 3, 5)).flatten().numpy()
    visible = np.ones(len(occupied), dtype=bool)
    for group in (np.flatnonzero(occupied), np.flatnonzero(~occupied)):
        count = min(round(mask_ratio * len(group)), max(len(group) - 1, 0))
        visible[rng.permutation(group)[:count]] = False
    blocks = torch.from_numpy(visible.reshape(shape))
    for axis in range(3):
        blocks = blocks.repeat_interleave(block_size, dim=axis)
    return blocks
