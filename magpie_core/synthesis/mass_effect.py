"""How a growing mass pushes the tissue around it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from magpie_core.synthesis.rng import Rng
from magpie_core.synthesis.transform import Range, Transform


@dataclass(frozen=True, kw_only=True)
class MassEffect(Transform):
    """Tissue around the core is pushed away, by a cube-root law, so that far away nothing moves.

    Parameters
    ----------
    decay_mm
        Three times the distance over which the displacement dies away.
    """

    decay_mm: Range = (25.0, 90.0)

    def draw(self, chance: Rng, *, center: torch.Tensor, radius_mm: float, push: Range) -> Displacement:
        """One mass: a ball at `center` (3,) in mm, of which a share between `push` displaces tissue."""
        share = chance.uniform(*push) if chance.happens(self.probability) else 0.0
        return Displacement(center, radius_mm, share, chance.uniform(*self.decay_mm))


@dataclass(frozen=True)
class Displacement:
    """One mass that came in.

    Parameters
    ----------
    center, radius_mm
        The ball that the mass fills; (3,) in mm.
    share
        Share of the ball's volume that came in as new mass; the rest replaced tissue.
    decay_mm
        Three times the distance over which the displacement dies away.
    """

    center: torch.Tensor
    radius_mm: float
    share: float
    decay_mm: float

    def back(self, points: torch.Tensor) -> torch.Tensor:
        """Where the tissue now at each of the points (3, D, H, W) in mm was before."""
        if self.share == 0.0:
            return points
        center = self.center.to(points.device)[:, None, None, None]
        offset = points - center
        distance = offset.square().sum(0).sqrt_().clamp_min_(0.5)
        fading = torch.exp((self.radius_mm - distance).clamp_max_(0.0).mul_(3.0 / self.decay_mm))
        outside = (distance**3 - self.share * self.radius_mm**3 * fading).clamp_min_(0.05).pow_(1 / 3)
        inside = distance * max(1e-3, 1.0 - self.share) ** (1 / 3)
        before = torch.where(distance < self.radius_mm, inside, outside)
        return center + offset * (before / distance)
