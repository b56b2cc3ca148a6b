"""Real tumors made fainter, as the infiltrative ones are that few collections hold."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_RIM_VOXELS = 5  # how far around the lesion the brain is taken for what the lesion fades into
_TEXTURE_VOXELS = 5  # what is finer is texture, and stays


def fade_lesion(images: Tensor, labels: Tensor, strength: float) -> Tensor:
    """Take off a share of the lesion's contrast against the brain around it; its texture and extent stay.

    Inside, what is smooth is moved towards the brain's mean. At the border, where a voxel may be part lesion and part
    brain, each voxel's own distance from that mean shrinks, so that no outline is drawn.

    Parameters
    ----------
    images
        (S, D, H, W), zero outside the brain and where a modality is absent.
    labels
        (D, H, W), schema "magpie".
    strength
        0 (as it is) to 1 (nothing but texture is left, a thin enhancing rim among it).
    """
    lesion = labels > 0
    if not lesion.any():
        return images
    mask = lesion[None, None].float()
    beside = (_spread(mask)[0, 0] > 0) & ~lesion
    inside = _smooth(mask, _TEXTURE_VOXELS)[0, 0].clamp_min(1e-3)
    border = _smooth(mask, 3)[0, 0]
    reach = torch.maximum(border, mask[0, 0])
    deep = (2 * border - 1).clamp_min(0) * lesion
    faded = []
    for image in images:
        around = image[beside & (image != 0)]
        if len(around) == 0:
            faded.append(image)
            continue
        own = image - around.mean()
        level = _smooth((own * lesion)[None, None], _TEXTURE_VOXELS)[0, 0] / inside
        contrast = deep * level + (1 - deep) * own
        faded.append(image - strength * reach * contrast * (image != 0))
    return torch.stack(faded)


def _smooth(volume: Tensor, width: int) -> Tensor:
    for kernel in ((width, 1, 1), (1, width, 1), (1, 1, width)):
        volume = F.avg_pool3d(volume, kernel, 1, tuple(side // 2 for side in kernel), count_include_pad=False)
    return volume


def _spread(mask: Tensor) -> Tensor:
    width = 2 * _RIM_VOXELS + 1
    for kernel in ((width, 1, 1), (1, width, 1), (1, 1, width)):
        mask = F.max_pool3d(mask, kernel, 1, tuple(side // 2 for side in kernel))
    return mask
