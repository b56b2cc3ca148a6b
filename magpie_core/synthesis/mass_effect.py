"""Mass effect: displacement of the tissue around a growing tumor."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from magpie_core.synthesis.rng import Rng
from magpie_core.synthesis.transform import Range, Transform


@dataclass(frozen=True, kw_only=True)
class MassEffect(Transform):
    """Displacement of the tissue around the core by a cube-root law that vanishes far away.

    Args:
        decay_mm: Three times the decay length of the displacement.
    """

    decay_mm: Range = (25.0, 90.0)

    def draw(self, rng: Rng, *, center: torch.Tensor, radius_mm: float, fraction: Range) -> Displacement:
        """Draw the displacement by a ball at `center` (3,) in mm, of whose volume a `fraction` displaces tissue."""
        displaced = rng.uniform(*fraction) if rng.bernoulli(self.probability) else 0.0
        return Displacement(center, radius_mm, displaced, rng.uniform(*self.decay_mm))


@dataclass(frozen=True)
class Displacement:
    """Displacement by one mass.

    Args:
        center, radius_mm: Ball filled by the mass; center (3,) in mm.
        fraction: Fraction of the ball's volume that displaced tissue; the rest replaced it.
        decay_mm: Three times the decay length of the displacement.
    """

    center: torch.Tensor
    radius_mm: float
    fraction: float
    decay_mm: float

    def undo(self, points: torch.Tensor) -> torch.Tensor:
        """Return the positions before the displacement of the tissue now at points (3, D, H, W) in mm."""
        if self.fraction == 0.0:
            return points
        center = self.center.to(points.device)[:, None, None, None]
        offset = points - center
        distance = offset.square().sum(0).sqrt_().clamp_min_(0.5)
        decay = torch.exp((self.radius_mm - distance).clamp_max_(0.0).mul_(3.0 / self.decay_mm))
        outside = (distance**3 - self.fraction * self.radius_mm**3 * decay).clamp_min_(0.05).pow_(1 / 3)
        inside = distance * max(1e-3, 1.0 - self.fraction) ** (1 / 3)
        before = torch.where(distance < self.radius_mm, inside, outside)
        return center + offset * (before / distance)
