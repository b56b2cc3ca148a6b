"""How a glioma varies within itself: patches, fading, blood and calcium."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.effect import Effect, Range


@dataclass(frozen=True, kw_only=True)
class Opacity(Effect):
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
class Fading(Effect):
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
class Haemorrhage(Effect):
    """Clots in the core: bright or grey on T1, mixed on T2 and FLAIR, black on SWI; how often is the kind's.

    Parameters
    ----------
    clots_mm, level
        Their size, and how rare they are (in deviations of a random field).
    """

    clots_mm: Range = (5.0, 10.0)
    level: Range = (1.2, 2.5)

    def draw(self, canvas: Canvas, extent: torch.Tensor) -> torch.Tensor:
        """(D, H, W) in [0, 1], within the core's extent."""
        chance = canvas.chance
        clots = canvas.fractal(chance.uniform(*self.clots_mm), 2) - chance.uniform(*self.level)
        return torch.sigmoid(clots * 4).mul_(extent)


@dataclass(frozen=True, kw_only=True)
class Calcification(Effect):
    """Grains of calcium in the core: dark on T2, FLAIR and SWI, grey on T1; how often is the kind's.

    Parameters
    ----------
    grains_mm, level
        Their size, and how rare they are (in deviations of a random field).
    """

    grains_mm: Range = (2.5, 6.0)
    level: Range = (1.6, 2.6)

    def draw(self, canvas: Canvas, extent: torch.Tensor) -> torch.Tensor:
        """(D, H, W) in [0, 1], within the core's extent."""
        chance = canvas.chance
        grains = canvas.fractal(chance.uniform(*self.grains_mm), 2) - chance.uniform(*self.level)
        return torch.sigmoid(grains * 6).mul_(extent)


@dataclass(frozen=True, kw_only=True)
class SparedIslands(Effect):
    """Islands of spared tissue in edema, on FLAIR."""

    probability: float = 0.15
    level: Range = (0.6, 1.0)


@dataclass(frozen=True, kw_only=True)
class FlowArtefacts(Effect):
    """FLAIR: fluid that is not suppressed where it flows, and a bright surface.

    Parameters
    ----------
    flow, surface
        Probability of each.
    """

    flow: float = 0.35
    surface: float = 0.3
