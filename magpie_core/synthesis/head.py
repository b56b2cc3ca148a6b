"""One head's label map as tissue probabilities that can be sampled anywhere."""

from __future__ import annotations

import itertools

import numpy as np
import torch
import torch.nn.functional as functional

from magpie_core.synthesis.blur import blur
from magpie_core.synthesis.tissue import HeadTissue

CLASSES = len(HeadTissue)
PUSH_MM = 4.0


class Head:
    """Tissue probabilities of one head, kept as uint8.

    Parameters
    ----------
    labels
        (D, H, W) uint8 at 1 mm, values of HeadTissue, RAS, centred on the brain.
    factor
        Probabilities are means of the one-hot map over cubes of factor^3 voxels; with 1, only the labels are kept.
    """

    def __init__(self, labels: np.ndarray, factor: int) -> None:
        shape = [n // factor for n in labels.shape]
        blocks = torch.from_numpy(
            np.ascontiguousarray(labels[tuple(slice(n * factor) for n in shape)], np.uint8)
        )
        self.spacing_mm = float(factor)
        self._labels = blocks if factor == 1 else None
        self._soft = _block_means(blocks, factor) if factor > 1 else None
        inside = self._channel(HeadTissue.VENTRICLE) + self._channel(HeadTissue.CHOROID_PLEXUS)
        cell = max(1, round(PUSH_MM / self.spacing_mm))
        coarse = blur(functional.avg_pool3d(inside[None, None], cell)[0, 0], 1.6)
        self._push = torch.stack(torch.gradient(coarse, spacing=self.spacing_mm * cell))
        self._push_spacing_mm = self.spacing_mm * cell

    def tissues(self, points: torch.Tensor) -> torch.Tensor:
        """Probabilities (16, D, H, W) at points (D, H, W, 3) in mm from the centre of the map; 0 outside the map."""
        if self._soft is not None:
            # channels last in memory: one visit per corner serves all classes
            soft = self._soft.float().div_(255.0).permute(3, 0, 1, 2)
            return _sample(soft, points, self.spacing_mm).contiguous()
        return torch.cat([_sample(self._channel(code)[None], points, self.spacing_mm) for code in HeadTissue])

    def ventricle_gradient(self, points: torch.Tensor) -> torch.Tensor:
        """Gradient (D, H, W, 3) in 1/mm of the blurred ventricles at points in mm: the way to or from them."""
        return _sample(self._push, points, self._push_spacing_mm).permute(1, 2, 3, 0)

    def _channel(self, code: int) -> torch.Tensor:
        if self._soft is not None:
            return self._soft[..., code].float() / 255.0
        assert self._labels is not None
        return torch.eq(self._labels, code).float()


def _block_means(labels: torch.Tensor, factor: int) -> torch.Tensor:
    """(D, H, W, 16) uint8, 255 = the class fills the block."""
    corners = [
        labels[i::factor, j::factor, k::factor] for i, j, k in itertools.product(range(factor), repeat=3)
    ]
    soft = torch.empty(*corners[0].shape, CLASSES, dtype=torch.uint8)
    for code in range(CLASSES):
        count = torch.zeros(corners[0].shape, dtype=torch.int16)
        for corner in corners:
            count += corner == code
        soft[..., code] = (count.float() * (255.0 / factor**3)).round().to(torch.uint8)
    return soft


def _sample(volume: torch.Tensor, points: torch.Tensor, spacing_mm: float) -> torch.Tensor:
    """Trilinear values (C, d, h, w) of a centred volume (C, D, H, W) at points (d, h, w, 3) in mm; 0 outside."""
    extent = torch.tensor(volume.shape[1:]) * (spacing_mm / 2)
    grid = (points / extent).flip(-1)
    return functional.grid_sample(
        volume[None], grid[None], mode="bilinear", padding_mode="zeros", align_corners=False
    )[0]
