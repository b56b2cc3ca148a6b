"""Intensities of the parts of a glioma relative to the tissues of the same image."""

from __future__ import annotations

from dataclasses import dataclass

from magpie_core.synthesis.phenotype import PhenotypeRanges
from magpie_core.synthesis.rng import Rng
from magpie_core.synthesis.tissue_contrast import TissueLevels
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
        cystic: Whether the core is a cyst.
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
        if modality in ("T1", "T1CE"):
            levels = _t1(rng, t)
            if modality == "T1CE":
                levels.enhancing = t.white * rng.uniform(*self.t1ce_enhancing)
            return levels
        if modality == "FLAIR":
            solid = rng.uniform(1.3, 2.0)
            if appearance.core == 1.0 and rng.bernoulli(self.mismatch):
                solid = rng.uniform(0.6, 1.0)
            return _flair(rng, t, appearance, solid=solid, edema=rng.uniform(*self.flair_edema))
        return {"T2": _t2, "DWI": _dwi, "ADC": _adc, "SWI": _swi}[modality](rng, t, appearance)


@dataclass
class LesionLevels:
    """Intensities in one image: edema, necrosis, non-enhancing tumor, enhancing tumor, white matter lesions, core."""

    edema: float
    necrosis: float
    solid: float
    enhancing: float
    white_matter_lesion: float
    core: float = 0.0


def _t1(rng: Rng, t: TissueLevels) -> LesionLevels:
    gray_from_white, fluid_from_gray = t.gray - t.white, t.fluid - t.gray
    return LesionLevels(
        edema=t.white + gray_from_white * rng.uniform(0.75, 1.9),
        necrosis=t.gray + fluid_from_gray * rng.uniform(0.1, 0.85),
        enhancing=t.white + gray_from_white * rng.uniform(0.3, 1.4),
        solid=t.gray + fluid_from_gray * rng.uniform(-0.1, 0.5),
        white_matter_lesion=t.white + gray_from_white * rng.uniform(0.1, 1.1),
    )


def _t2(rng: Rng, t: TissueLevels, appearance: LesionAppearance) -> LesionLevels:
    span = t.fluid - t.gray
    gelatinous, watery = rng.uniform(0.35, 0.9), rng.uniform(0.75, 1.15)
    return LesionLevels(
        edema=t.gray + span * rng.uniform(0.35, 1.0),
        necrosis=t.gray + span * (gelatinous * (1 - appearance.fluid) + watery * appearance.fluid),
        enhancing=t.gray + span * rng.uniform(0.1, 0.75),
        solid=t.gray + span * rng.uniform(0.45, 1.05),
        white_matter_lesion=t.gray + span * rng.uniform(0.0, 0.6),
    )


def _flair(rng: Rng, t: TissueLevels, appearance: LesionAppearance, *, solid: float, edema: float) -> LesionLevels:
    gelatinous, watery = rng.uniform(1.1, 2.0), rng.uniform(0.4, 1.5)
    return LesionLevels(
        edema=t.gray * edema,
        necrosis=t.gray * (gelatinous * (1 - appearance.fluid) + watery * appearance.fluid),
        enhancing=t.gray * rng.uniform(1.15, 2.0),
        solid=t.gray * solid,
        white_matter_lesion=t.gray * rng.uniform(1.15, 1.75),
    )


def _dwi(rng: Rng, t: TissueLevels, appearance: LesionAppearance) -> LesionLevels:
    """Cellular parts are bright, fluid is dark, edema shines through from T2."""
    return LesionLevels(
        edema=t.gray * rng.uniform(0.85, 1.25),
        necrosis=t.gray * (rng.uniform(0.6, 1.2) * (1 - appearance.fluid) + rng.uniform(0.2, 0.6) * appearance.fluid),
        enhancing=t.gray * rng.uniform(0.95, 1.6),
        solid=t.gray * rng.uniform(0.85, 1.35),
        white_matter_lesion=t.gray * rng.uniform(0.85, 1.15),
    )


def _adc(rng: Rng, t: TissueLevels, appearance: LesionAppearance) -> LesionLevels:
    """High where water is free, lowest where cells are dense (enhancing glioblastoma 0.9 to 1.3e-3 mm2/s)."""
    return LesionLevels(
        edema=rng.uniform(0.40, 0.60),
        necrosis=rng.uniform(0.40, 0.65) * (1 - appearance.fluid) + rng.uniform(0.65, 0.95) * appearance.fluid,
        enhancing=rng.uniform(0.28, 0.45),
        solid=rng.uniform(0.33, 0.55),
        white_matter_lesion=rng.uniform(0.30, 0.42),
    )


def _swi(rng: Rng, t: TissueLevels, appearance: LesionAppearance) -> LesionLevels:
    """Little contrast, but for blood and calcium."""
    return LesionLevels(
        edema=t.gray * rng.uniform(0.95, 1.2),
        necrosis=t.gray * rng.uniform(0.8, 1.25),
        enhancing=t.gray * rng.uniform(0.6, 1.15),
        solid=t.gray * rng.uniform(0.9, 1.2),
        white_matter_lesion=t.gray * rng.uniform(0.98, 1.1),
    )


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
