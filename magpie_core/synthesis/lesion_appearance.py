"""Appearance of a glioma: intensities of its parts relative to the tissues of the same image, and their variation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.phenotype import PhenotypeRanges
from magpie_core.synthesis.rng import Rng
from magpie_core.synthesis.tissue import TissueLevels
from magpie_core.synthesis.transform import Range, Transform


@dataclass(frozen=True)
class LesionAppearance:
    """Properties that all modalities of one rendering share.

    Args:
        fluid: Necrosis from gelatinous (0) to fluid (1).
        core: Intensity of the non-enhancing core: as necrosis (0), as non-enhancing tumor (1), or between.
        edema_like_core: Whether edema and non-enhancing core have the same intensity, so that only their position
            differs.
        faint: Whether lesions hardly differ from brain.
        dark_edema: Whether edema is nearly fluid: dark on T1, bright on T2 and FLAIR, uniform.
    """

    fluid: float
    core: float
    edema_like_core: bool
    faint: bool
    dark_edema: bool
    cystic: bool


@dataclass(frozen=True, kw_only=True)
class LesionContrast(Transform):
    """Intensities of the parts of a glioma; typical ones where the transform is off.

    Args:
        edema_like_core: Probability that edema and non-enhancing core have the same intensity in a rendering.
        mismatch: Probability that non-enhancing tumor is dark on FLAIR, the T2-FLAIR mismatch of some astrocytomas.
        t1ce_enhancing: Level of enhancing tumor on T1CE relative to white matter.
        flair_edema: Level of edema on FLAIR relative to cortex.
        faint: Factor on the phenotypes' probability of faint lesions.
    """

    edema_like_core: float = 0.55
    mismatch: float = 0.2
    t1ce_enhancing: Range = (1.08, 2.0)
    flair_edema: Range = (1.3, 1.95)
    faint: float = 1.0

    def draw_appearance(self, rng: Rng, ranges: PhenotypeRanges) -> LesionAppearance:
        """Draw the appearance of a phenotype in one rendering."""
        if self.probability < 1 and not rng.bernoulli(self.probability):
            core = 1.0 if ranges.non_enhancing_core else 0.0
            return LesionAppearance(0.5, core, False, False, False, cystic=ranges.interior == "cyst")
        mixture = rng.uniform(0.0, 1.0)
        core = 1.0 if ranges.non_enhancing_core or mixture < 0.25 else 0.5 if mixture < 0.5 else 0.0
        return LesionAppearance(
            fluid=rng.uniform(0.0, 1.0) ** 1.6,
            core=core,
            edema_like_core=rng.bernoulli(self.edema_like_core),
            faint=rng.bernoulli(ranges.faint * self.faint),
            dark_edema=rng.bernoulli(ranges.dark_edema),
            cystic=ranges.interior == "cyst",
        )

    def draw(self, rng: Rng, modality: str, tissues: TissueLevels, appearance: LesionAppearance) -> LesionLevels:
        """Draw the levels of a glioma in one image of a rendering."""
        if tissues.arbitrary:
            levels = _arbitrary(rng, tissues)
        else:
            levels = self._typical(rng, modality, tissues, appearance)
            if appearance.dark_edema and modality not in ("DWI", "SWI"):
                levels.edema = _fluid_like_edema(rng, modality, tissues)
            if appearance.faint:
                _make_faint(rng, modality, tissues, levels)
            if appearance.edema_like_core and not appearance.dark_edema:
                if modality in ("T1", "T1CE"):
                    levels.edema = levels.solid + (tissues.white - levels.solid) * rng.uniform(-0.1, 0.3)
                else:
                    levels.edema = levels.solid * rng.uniform(0.92, 1.12)
        levels.core = appearance.core * levels.solid + (1.0 - appearance.core) * levels.necrosis
        if appearance.cystic and not tissues.arbitrary:
            levels.core = _cyst(rng, modality, tissues)
        return levels

    def _typical(self, rng: Rng, modality: str, t: TissueLevels, appearance: LesionAppearance) -> LesionLevels:
        levels = {}
        if modality == "FLAIR":
            solid = rng.uniform(1.3, 2.0)
            if appearance.core == 1.0 and rng.bernoulli(self.mismatch):
                solid = rng.uniform(0.6, 1.0)
            levels = {"solid": t.gray * solid, "edema": t.gray * rng.uniform(*self.flair_edema)}
        for part, ranges in _RANGES["T1" if modality == "T1CE" else modality].items():
            position = rng.uniform(*ranges[0])
            if len(ranges) == 2:
                position = position * (1 - appearance.fluid) + rng.uniform(*ranges[1]) * appearance.fluid
            start, end = _span(modality, part, t)
            levels[part] = start + (end - start) * position
        if modality == "T1CE":
            levels["enhancing"] = t.white * rng.uniform(*self.t1ce_enhancing)
        return LesionLevels(**levels)


@dataclass
class LesionLevels:
    """Intensities in one image: edema, necrosis, non-enhancing tumor, enhancing tumor, white matter lesions, core."""

    edema: float
    necrosis: float
    solid: float
    enhancing: float
    white_matter_lesion: float
    core: float = 0.0


# Position of each part between two levels (`_span`), in the order of the draws; of necrosis where it is gelatinous, and
# where it is fluid. FLAIR: edema and non-enhancing tumor are drawn by `LesionContrast`. DWI: cellular parts are bright,
# fluid is dark, edema shines through from T2. ADC: high where water is free, lowest where cells are dense (enhancing
# glioblastoma 0.9 to 1.3e-3 mm2/s). SWI: little contrast, but for blood and calcium.
# fmt: off
_RANGES: Mapping[str, Mapping[str, tuple[Range, ...]]] = {
    "T1": {"edema": ((0.75, 1.9),), "necrosis": ((0.1, 0.85),), "enhancing": ((0.3, 1.4),), "solid": ((-0.1, 0.5),),
           "white_matter_lesion": ((0.1, 1.1),)},
    "T2": {"necrosis": ((0.35, 0.9), (0.75, 1.15)), "edema": ((0.35, 1.0),), "enhancing": ((0.1, 0.75),),
           "solid": ((0.45, 1.05),), "white_matter_lesion": ((0.0, 0.6),)},
    "FLAIR": {"necrosis": ((1.1, 2.0), (0.4, 1.5)), "enhancing": ((1.15, 2.0),),
              "white_matter_lesion": ((1.15, 1.75),)},
    "DWI": {"edema": ((0.85, 1.25),), "necrosis": ((0.6, 1.2), (0.2, 0.6)), "enhancing": ((0.95, 1.6),),
            "solid": ((0.85, 1.35),), "white_matter_lesion": ((0.85, 1.15),)},
    "ADC": {"edema": ((0.40, 0.60),), "necrosis": ((0.40, 0.65), (0.65, 0.95)), "enhancing": ((0.28, 0.45),),
            "solid": ((0.33, 0.55),), "white_matter_lesion": ((0.30, 0.42),)},
    "SWI": {"edema": ((0.95, 1.2),), "necrosis": ((0.8, 1.25),), "enhancing": ((0.6, 1.15),), "solid": ((0.9, 1.2),),
            "white_matter_lesion": ((0.98, 1.1),)},
}
# fmt: on


def _span(modality: str, part: str, t: TissueLevels) -> Range:
    """Return the levels at positions 0 and 1: of two tissues where these order as on T1 or T2, else 0 and one level."""
    if modality in ("T1", "T1CE"):
        return (t.gray, t.fluid) if part in ("necrosis", "solid") else (t.white, t.gray)
    if modality == "T2":
        return t.gray, t.fluid
    return 0.0, 1.0 if modality == "ADC" else t.gray


def _arbitrary(rng: Rng, t: TissueLevels) -> LesionLevels:
    sign = 1.0 if rng.bernoulli(0.8) else -1.0
    edema = t.white + sign * rng.uniform(0.15, 0.5)
    return LesionLevels(
        edema=edema,
        necrosis=edema + rng.normal(0.0, 0.25),
        enhancing=edema + rng.normal(0.0, 0.2),
        solid=edema + rng.normal(0.0, 0.08),
        white_matter_lesion=t.white + sign * rng.uniform(0.05, 0.35),
    )


def _make_faint(rng: Rng, modality: str, t: TissueLevels, levels: LesionLevels) -> None:
    if modality == "FLAIR":
        levels.solid = t.gray * rng.uniform(1.08, 1.4)
        levels.edema = t.gray * rng.uniform(1.05, 1.4)
    elif modality in ("T1", "T1CE"):
        levels.solid = t.white + (t.gray - t.white) * rng.uniform(0.5, 1.4)
    else:
        towards = t.fluid if modality in ("T2", "ADC") else levels.solid
        levels.solid = t.gray + (towards - t.gray) * rng.uniform(0.08, 0.45)
        levels.edema = t.gray + (towards - t.gray) * rng.uniform(0.05, 0.4)


def _fluid_like_edema(rng: Rng, modality: str, t: TissueLevels) -> float:
    if modality == "FLAIR":
        return t.gray * rng.uniform(1.45, 2.1)
    fraction = rng.uniform(0.1, 0.55) if modality in ("T1", "T1CE") else rng.uniform(0.6, 1.05)
    return t.gray + (t.fluid - t.gray) * fraction


def _cyst(rng: Rng, modality: str, t: TissueLevels) -> float:
    if modality == "FLAIR":
        return t.fluid + (t.gray - t.fluid) * rng.uniform(0.1, 2.0)
    fraction = rng.uniform(0.4, 1.0) if modality in ("T1", "T1CE") else rng.uniform(0.75, 1.15)
    return t.gray + (t.fluid - t.gray) * fraction


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
