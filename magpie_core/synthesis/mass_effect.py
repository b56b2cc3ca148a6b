"""How a growing mass pushes the tissue around it."""

from __future__ import annotations

import torch


def push_back(
    points: torch.Tensor, *, centre: torch.Tensor, radius_mm: float, share: float, decay_mm: float
) -> torch.Tensor:
    """Where the tissue now at each point was before the mass grew.

    Parameters
    ----------
    points
        (D, H, W, 3) in mm.
    centre, radius_mm
        The ball that the mass now fills.
    share
        Share of the ball's volume that came in as new mass; the rest replaced tissue.
    decay_mm
        Three times the distance over which the displacement dies away.

    Returns
    -------
    (D, H, W, 3) in mm. Volumes follow a cube-root law, so that far away nothing moves.
    """
    offset = points - centre
    distance = offset.norm(dim=-1).clamp_min_(0.5)
    fading = torch.exp((radius_mm - distance).clamp_max_(0.0).mul_(3.0 / decay_mm))
    outside = (distance**3 - share * radius_mm**3 * fading).clamp_min_(0.05).pow_(1 / 3)
    inside = distance * max(1e-3, 1.0 - share) ** (1 / 3)
    before = torch.where(distance < radius_mm, inside, outside)
    return centre + offset * (before / distance)[..., None]
