"""Fading of real tumors, to imitate the infiltrative ones that are rare in data sets."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_RIM_VOXELS = 5  # margin around the lesion whose mean is the target of the fading
_TEXTURE_VOXELS = 5  # finer structure is texture and is kept


def fade_lesion(images: Tensor, labels: Tensor, strength: float) -> Tensor:
    """Remove a fraction of the lesion's contrast to the brain around it; its texture and extent are kept.

    Inside, the smooth part moves towards the brain's mean. At the border, with its partial volumes, each voxel's own
    difference from that mean shrinks, so that no outline is drawn.

    Args:
        images: (S, D, H, W), zero outside the brain and where a modality is absent.
        labels: (D, H, W), schema "magpie".
        strength: 0 (no fading) to 1 (only texture is left, a thin enhancing rim included).
    """
    lesion = labels > 0
    if not lesion.any():
        return images
    mask = lesion[None, None].float()
    surrounding = (_dilate(mask)[0, 0] > 0) & ~lesion
    inside = _smooth(mask, _TEXTURE_VOXELS)[0, 0].clamp_min(1e-3)
    border = _smooth(mask, 3)[0, 0]
    reach = torch.maximum(border, mask[0, 0])
    interior = (2 * border - 1).clamp_min(0) * lesion
    faded = []
    for image in images:
        around = image[surrounding & (image != 0)]
        if len(around) == 0:
            faded.append(image)
            continue
        difference = image - around.mean()
        level = _smooth((difference * lesion)[None, None], _TEXTURE_VOXELS)[0, 0] / inside
        contrast = interior * level + (1 - interior) * difference
        faded.append(image - strength * reach * contrast * (image != 0))
    return torch.stack(faded)


def _smooth(volume: Tensor, width: int) -> Tensor:
    for kernel in ((width, 1, 1), (1, width, 1), (1, 1, width)):
        volume = F.avg_pool3d(volume, kernel, 1, tuple(side // 2 for side in kernel), count_include_pad=False)
    return volume


def _dilate(mask: Tensor) -> Tensor:
    width = 2 * _RIM_VOXELS + 1
    for kernel in ((width, 1, 1), (1, width, 1), (1, 1, width)):
        mask = F.max_pool3d(mask, kernel, 1, tuple(side // 2 for side in kernel))
    return mask
