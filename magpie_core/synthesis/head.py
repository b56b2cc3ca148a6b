"""Tissue probabilities of one head, sampled at arbitrary points."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import torch

from magpie_core.synthesis.tissue import HeadTissue as T
from magpie_core.synthesis.volume_operations import blur, pool, sample_at

_CLASSES = len(T)
_VENTRICLE_GRID_MM = 4.0
_SLAB_VOXELS = 400_000  # fits the cache of a CPU; a GPU takes all at once


class Head:
    """Tissue probabilities of one head, stored as bytes.

    Args:
        labels: (D, H, W) uint8 at 1 mm, values of HeadTissue, RAS, centered on the brain.
        factor: Probabilities are means of the one-hot map over cubes of factor^3 voxels; with 1, only the labels are
            stored.
        device: Device of the samples.
    """

    def __init__(self, labels: np.ndarray, factor: int, device: torch.device | str = "cpu") -> None:
        whole = tuple(slice(n // factor * factor) for n in labels.shape)
        blocks = torch.from_numpy(np.ascontiguousarray(labels[whole], np.uint8)).to(device)
        self.spacing_mm = float(factor)
        self._labels = blocks if factor == 1 else None
        self._soft = _block_means(blocks, factor) if factor > 1 else None
        if self._soft is not None:
            inside = self._soft[..., T.VENTRICLE].float() + self._soft[..., T.CHOROID_PLEXUS]
            inside = inside / 255.0
        else:
            inside = ((blocks == T.VENTRICLE) | (blocks == T.CHOROID_PLEXUS)).float()
        cell = max(1, round(_VENTRICLE_GRID_MM / self.spacing_mm))
        self._gradient_spacing_mm = self.spacing_mm * cell
        self._gradient = torch.stack(torch.gradient(blur(pool(inside, cell), 1.6), spacing=self._gradient_spacing_mm))

    def sampler(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return a function of points (3, D, H, W) in mm from the center of the map to probabilities (16, D, H, W).

        Outside the map they are 0. The function holds a larger copy of the map; keep it no longer than a study.
        """
        if self._soft is not None:
            # channels last in memory: one visit per corner serves all classes
            soft = self._soft.float().div_(255.0).permute(3, 0, 1, 2)
            return lambda points: sample_at(soft, points, self.spacing_mm).contiguous()
        labels = self._labels
        assert labels is not None

        def sample(points: torch.Tensor) -> torch.Tensor:
            flat = points.flatten(1)
            found = flat.new_empty(_CLASSES, flat.shape[1])
            slab = _SLAB_VOXELS if flat.device.type == "cpu" else flat.shape[1]
            for start in range(0, flat.shape[1], slab):
                part = slice(start, start + slab)
                found[:, part] = _sample_labels(labels, flat[:, part])
            return found.view(_CLASSES, *points.shape[1:])

        return sample

    def ventricle_gradient(self, points: torch.Tensor) -> torch.Tensor:
        """Return the gradient (3, D, H, W) in 1/mm of the blurred ventricle map at points in mm."""
        return sample_at(self._gradient, points, self._gradient_spacing_mm)


def _block_means(labels: torch.Tensor, factor: int) -> torch.Tensor:
    """Return (D, H, W, 16) uint8; 255 means that the class fills the block."""
    corners = [labels[i::factor, j::factor, k::factor] for i, j, k in itertools.product(range(factor), repeat=3)]
    soft = torch.empty(*corners[0].shape, _CLASSES, dtype=torch.uint8, device=labels.device)
    for code in range(_CLASSES):
        count = torch.zeros(corners[0].shape, dtype=torch.int16, device=labels.device)
        for corner in corners:
            count += corner == code
        soft[..., code] = (count.float() * (255.0 / factor**3)).round().to(torch.uint8)
    return soft


def _sample_labels(labels: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Return trilinear class probabilities (16, N) of a centered label map (1 mm) at points (3, N) in mm; 0 outside.

    The weights of the eight labels around a point are summed by class; no one-hot map is made.
    """
    size = torch.tensor(labels.shape, device=points.device)
    position = points + (size[:, None] - 1) / 2
    low = position.floor()
    fraction = position - low
    corner = low.long()
    flat = labels.flatten()
    found = points.new_zeros(points.shape[1], _CLASSES)
    inside = [(corner + step >= 0) & (corner + step < size[:, None]) for step in (0, 1)]
    index = [(corner + step).clamp_min(0).minimum(size[:, None] - 1) for step in (0, 1)]
    near = (1 - fraction, fraction)
    _, rows, columns = labels.shape
    for i, j, k in itertools.product((0, 1), repeat=3):
        weight = near[i][0] * near[j][1] * near[k][2]
        at = index[i][0] * (rows * columns) + index[j][1] * columns + index[k][2]
        weight = weight * (inside[i][0] & inside[j][1] & inside[k][2])
        found.scatter_add_(1, flat[at].long()[:, None], weight[:, None])
    return found.T
