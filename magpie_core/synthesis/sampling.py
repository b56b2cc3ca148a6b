"""Values of a volume at any points."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as functional


def sample_at(
    volume: torch.Tensor,
    points: torch.Tensor,
    spacing_mm: float,
    *,
    middle_mm: Sequence[float] = (0.0, 0.0, 0.0),
) -> torch.Tensor:
    """Trilinear values (C, d, h, w) of a volume (C, D, H, W) at points (3, d, h, w) in mm; 0 outside.

    Parameters
    ----------
    middle_mm
        Where the middle of the volume lies.
    """
    scale = [2.0 / (spacing_mm * n) for n in volume.shape[1:]]
    grid = torch.stack([(points[axis] - middle_mm[axis]) * scale[axis] for axis in (2, 1, 0)], dim=-1)
    return functional.grid_sample(
        volume[None], grid[None], mode="bilinear", padding_mode="zeros", align_corners=False
    )[0]
