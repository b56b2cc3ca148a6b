"""Variation within a glioma: patches, fading, hemorrhage and calcification."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.transform import Range, Transform


@dataclass(frozen=True, kw_only=True)
class Opacity(Transform):
    """Opacity of a lesion over the tissue it grew in: uniform, or lower in patches.

    Args:
        edema, core: Opacity of edema, and of a non-enhancing core.
        minimum: Lower limit in patches.
        patches_mm, patches: Correlation length of the patches, and the opacity that they lose.
    """

    probability: float = 0.5
    edema: Range = (0.75, 1.0)
    core: Range = (0.6, 1.0)
    minimum: float = 0.15
    patches_mm: Range = (10.0, 25.0)
    patches: Range = (0.2, 0.7)

    def draw(self, canvas: Canvas, level: Range) -> torch.Tensor:
        """Draw a map (D, H, W) in [0, 1]."""
        rng = canvas.rng
        opacity = canvas.zeros().add_(rng.uniform(*level))
        if rng.bernoulli(self.probability):
            patches = canvas.fractal_noise(rng.uniform(*self.patches_mm), 2) - rng.uniform(-0.5, 1.5)
            opacity *= 1.0 - rng.uniform(*self.patches) * torch.sigmoid(3.0 * patches)
        return opacity.clamp_min_(self.minimum)


@dataclass(frozen=True, kw_only=True)
class Fading(Transform):
    """Edema that fades towards its outer edge, which annotators still include.

    Args:
        loss: Fraction of the contrast lost at the edge.
    """

    probability: float = 0.6
    loss: Range = (0.0, 0.75)

    def draw(self, canvas: Canvas) -> float:
        """Draw the loss of one rendering."""
        rng = canvas.rng
        return rng.uniform(*self.loss) if rng.bernoulli(self.probability) else 0.0


@dataclass(frozen=True, kw_only=True)
class Specks(Transform):
    """Specks in the core, where a random field is high; their probability depends on the phenotype.

    Args:
        size_mm, level: Their size, and the threshold in deviations of the field.
        sharpness: Steepness of their edges.
    """

    size_mm: Range
    level: Range
    sharpness: float

    def draw(self, canvas: Canvas, extent: torch.Tensor) -> torch.Tensor:
        """Draw a map (D, H, W) in [0, 1] within the core's extent."""
        rng = canvas.rng
        specks = canvas.fractal_noise(rng.uniform(*self.size_mm), 2) - rng.uniform(*self.level)
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
    """FLAIR: unsuppressed signal of flowing fluid, and a bright surface.

    Args:
        flow, surface: Probability of each.
    """

    flow: float = 0.35
    surface: float = 0.3
