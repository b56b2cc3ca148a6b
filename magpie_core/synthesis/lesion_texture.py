"""How a glioma varies within itself: patches, fading, blood and calcium."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.transform import Range, Transform


@dataclass(frozen=True, kw_only=True)
class Opacity(Transform):
    """How far a lesion hides the tissue it grew in: all alike, or thinner in patches.

    Parameters
    ----------
    edema, core
        Of edema, and of a core that does not enhance.
    least
        What is left where patches are thinnest.
    patches_mm, patches
        Correlation length of the patches, and how much thinner they are.
    """

    probability: float = 0.5
    edema: Range = (0.75, 1.0)
    core: Range = (0.6, 1.0)
    least: float = 0.15
    patches_mm: Range = (10.0, 25.0)
    patches: Range = (0.2, 0.7)

    def draw(self, canvas: Canvas, level: Range) -> torch.Tensor:
        """(D, H, W) in [0, 1]."""
        chance = canvas.chance
        opacity = canvas.zeros().add_(chance.uniform(*level))
        if chance.happens(self.probability):
            patches = canvas.fractal(chance.uniform(*self.patches_mm), 2) - chance.uniform(-0.5, 1.5)
            opacity *= 1.0 - chance.uniform(*self.patches) * torch.sigmoid(3.0 * patches)
        return opacity.clamp_min_(self.least)


@dataclass(frozen=True, kw_only=True)
class Fading(Transform):
    """Edema that fades towards its outer edge, which annotators still take along.

    Parameters
    ----------
    loss
        Share of the signal that is gone at the edge.
    """

    probability: float = 0.6
    loss: Range = (0.0, 0.75)

    def draw(self, canvas: Canvas) -> float:
        """The loss of one rendering."""
        chance = canvas.chance
        return chance.uniform(*self.loss) if chance.happens(self.probability) else 0.0


@dataclass(frozen=True, kw_only=True)
class Specks(Transform):
    """Specks of something in the core, where a random field is high; how often they come is the kind's.

    Parameters
    ----------
    size_mm, level
        Their size, and how rare they are (in deviations of the field).
    sharpness
        How steep their edges are.
    """

    size_mm: Range
    level: Range
    sharpness: float

    def draw(self, canvas: Canvas, extent: torch.Tensor) -> torch.Tensor:
        """(D, H, W) in [0, 1], within the core's extent."""
        chance = canvas.chance
        specks = canvas.fractal(chance.uniform(*self.size_mm), 2) - chance.uniform(*self.level)
        return torch.sigmoid(specks * self.sharpness).mul_(extent)


@dataclass(frozen=True, kw_only=True)
class Hemorrhage(Specks):
    """Clots: bright or gray on T1, mixed on T2 and FLAIR, black on SWI."""

    size_mm: Range = (5.0, 10.0)
    level: Range = (1.2, 2.5)
    sharpness: float = 4.0


@dataclass(frozen=True, kw_only=True)
class Calcification(Specks):
    """Grains of calcium: dark on T2, FLAIR and SWI, gray on T1."""

    size_mm: Range = (2.5, 6.0)
    level: Range = (1.6, 2.6)
    sharpness: float = 6.0


@dataclass(frozen=True, kw_only=True)
class SparedIslands(Transform):
    """Islands of spared tissue in edema, on FLAIR."""

    probability: float = 0.15
    level: Range = (0.6, 1.0)


@dataclass(frozen=True, kw_only=True)
class FlowArtifacts(Transform):
    """FLAIR: fluid that is not suppressed where it flows, and a bright surface.

    Parameters
    ----------
    flow, surface
        Probability of each.
    """

    flow: float = 0.35
    surface: float = 0.3
