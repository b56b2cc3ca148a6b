"""How bright the parts of a glioma are, relative to the tissues of the same image."""

from __future__ import annotations

from dataclasses import dataclass

from magpie_core.synthesis.phenotype import PhenotypeRanges
from magpie_core.synthesis.rng import Rng
from magpie_core.synthesis.tissue_contrast import TissueLevels
from magpie_core.synthesis.transform import Range, Transform


@dataclass(frozen=True)
class LesionLook:
    """What all modalities of one rendering share.

    Parameters
    ----------
    fluid
        From gelatinous (0) to fluid (1) necrosis.
    core
        Whether the non-enhancing core looks like necrosis (0), like non-enhancing tumor (1), or between.
    edema_like_core
        Edema and non-enhancing core look the same, so that only the position relative to the rim tells them apart.
    faint
        Lesions hardly differ from brain.
    dark_edema
        Edema is nearly fluid: dark on T1, bright on T2 and FLAIR, uniform.
    cystic
        The core is a cyst.
    """

    fluid: float
    core: float
    edema_like_core: bool
    faint: bool
    dark_edema: bool
    cystic: bool


@dataclass(frozen=True, kw_only=True)
class LesionContrast(Transform):
    """How bright the parts of a glioma are, relative to the tissues of the same image; without the effect, as usual.

    Parameters
    ----------
    edema_like_core
        Probability that edema and non-enhancing core look the same in a rendering, so that only the position relative
        to the rim tells them apart.
    mismatch
        Probability that non-enhancing tumor is dark on FLAIR, the T2-FLAIR mismatch of some astrocytomas.
    t1ce_enhancing
        Level of enhancing tumor on T1CE relative to white matter.
    flair_edema
        Level of edema on FLAIR relative to cortex.
    faint
        Whether faint lesions are drawn at all: the factor on the kinds' own probability.
    """

    edema_like_core: float = 0.55
    mismatch: float = 0.2
    t1ce_enhancing: Range = (1.08, 2.0)
    flair_edema: Range = (1.3, 1.95)
    faint: float = 1.0

    def look(self, chance: Rng, ranges: PhenotypeRanges) -> LesionLook:
        """What one rendering of a kind of glioma looks like."""
        if self.probability < 1 and not chance.happens(self.probability):
            core = 1.0 if ranges.non_enhancing_look else 0.0
            return LesionLook(0.5, core, False, False, False, cystic=ranges.interior == "cyst")
        mixture = chance.uniform(0.0, 1.0)
        core = 1.0 if ranges.non_enhancing_look or mixture < 0.25 else 0.5 if mixture < 0.5 else 0.0
        return LesionLook(
            fluid=chance.uniform(0.0, 1.0) ** 1.6,
            core=core,
            edema_like_core=chance.happens(self.edema_like_core),
            faint=chance.happens(ranges.faint * self.faint),
            dark_edema=chance.happens(ranges.dark_edema),
            cystic=ranges.interior == "cyst",
        )

    def draw(self, chance: Rng, modality: str, tissues: TissueLevels, look: LesionLook) -> LesionLevels:
        """Levels of a glioma in one image of a rendering."""
        if tissues.arbitrary:
            levels = _arbitrary(chance, tissues)
        else:
            levels = self._usual(chance, modality, tissues, look)
            if look.dark_edema and modality not in ("DWI", "SWI"):
                levels.edema = _fluid_like_edema(chance, modality, tissues)
            if look.faint:
                _make_faint(chance, modality, tissues, levels)
            if look.edema_like_core and not look.dark_edema:
                if modality in ("T1", "T1CE"):
                    levels.edema = levels.solid + (tissues.white - levels.solid) * chance.uniform(-0.1, 0.3)
                else:
                    levels.edema = levels.solid * chance.uniform(0.92, 1.12)
        levels.core = look.core * levels.solid + (1.0 - look.core) * levels.necrosis
        if look.cystic and not tissues.arbitrary:
            levels.core = _cyst(chance, modality, tissues)
        return levels

    def _usual(self, chance: Rng, modality: str, t: TissueLevels, look: LesionLook) -> LesionLevels:
        if modality in ("T1", "T1CE"):
            levels = _t1(chance, t)
            if modality == "T1CE":
                levels.enhancing = t.white * chance.uniform(*self.t1ce_enhancing)
            return levels
        if modality == "FLAIR":
            solid = chance.uniform(1.3, 2.0)
            if look.core == 1.0 and chance.happens(self.mismatch):
                solid = chance.uniform(0.6, 1.0)
            return _flair(chance, t, look, solid=solid, edema=chance.uniform(*self.flair_edema))
        return {"T2": _t2, "DWI": _dwi, "ADC": _adc, "SWI": _swi}[modality](chance, t, look)


@dataclass
class LesionLevels:
    """Intensities in one image: edema, necrosis, non-enhancing tumor, enhancing tumor, white matter lesions, core."""

    edema: float
    necrosis: float
    solid: float
    enhancing: float
    white_matter_lesion: float
    core: float = 0.0


def _t1(chance: Rng, t: TissueLevels) -> LesionLevels:
    gray_from_white, fluid_from_gray = t.gray - t.white, t.fluid - t.gray
    return LesionLevels(
        edema=t.white + gray_from_white * chance.uniform(0.75, 1.9),
        necrosis=t.gray + fluid_from_gray * chance.uniform(0.1, 0.85),
        enhancing=t.white + gray_from_white * chance.uniform(0.3, 1.4),
        solid=t.gray + fluid_from_gray * chance.uniform(-0.1, 0.5),
        white_matter_lesion=t.white + gray_from_white * chance.uniform(0.1, 1.1),
    )


def _t2(chance: Rng, t: TissueLevels, look: LesionLook) -> LesionLevels:
    span = t.fluid - t.gray
    gelatinous, watery = chance.uniform(0.35, 0.9), chance.uniform(0.75, 1.15)
    return LesionLevels(
        edema=t.gray + span * chance.uniform(0.35, 1.0),
        necrosis=t.gray + span * (gelatinous * (1 - look.fluid) + watery * look.fluid),
        enhancing=t.gray + span * chance.uniform(0.1, 0.75),
        solid=t.gray + span * chance.uniform(0.45, 1.05),
        white_matter_lesion=t.gray + span * chance.uniform(0.0, 0.6),
    )


def _flair(chance: Rng, t: TissueLevels, look: LesionLook, *, solid: float, edema: float) -> LesionLevels:
    gelatinous, watery = chance.uniform(1.1, 2.0), chance.uniform(0.4, 1.5)
    return LesionLevels(
        edema=t.gray * edema,
        necrosis=t.gray * (gelatinous * (1 - look.fluid) + watery * look.fluid),
        enhancing=t.gray * chance.uniform(1.15, 2.0),
        solid=t.gray * solid,
        white_matter_lesion=t.gray * chance.uniform(1.15, 1.75),
    )


def _dwi(chance: Rng, t: TissueLevels, look: LesionLook) -> LesionLevels:
    """Cellular parts are bright, fluid is dark, edema shines through from T2."""
    return LesionLevels(
        edema=t.gray * chance.uniform(0.85, 1.25),
        necrosis=t.gray
        * (chance.uniform(0.6, 1.2) * (1 - look.fluid) + chance.uniform(0.2, 0.6) * look.fluid),
        enhancing=t.gray * chance.uniform(0.95, 1.6),
        solid=t.gray * chance.uniform(0.85, 1.35),
        white_matter_lesion=t.gray * chance.uniform(0.85, 1.15),
    )


def _adc(chance: Rng, t: TissueLevels, look: LesionLook) -> LesionLevels:
    """High where water is free, lowest where cells are dense (enhancing glioblastoma 0.9 to 1.3e-3 mm2/s)."""
    return LesionLevels(
        edema=chance.uniform(0.40, 0.60),
        necrosis=chance.uniform(0.40, 0.65) * (1 - look.fluid) + chance.uniform(0.65, 0.95) * look.fluid,
        enhancing=chance.uniform(0.28, 0.45),
        solid=chance.uniform(0.33, 0.55),
        white_matter_lesion=chance.uniform(0.30, 0.42),
    )


def _swi(chance: Rng, t: TissueLevels, look: LesionLook) -> LesionLevels:
    """Little contrast, but for blood and calcium."""
    return LesionLevels(
        edema=t.gray * chance.uniform(0.95, 1.2),
        necrosis=t.gray * chance.uniform(0.8, 1.25),
        enhancing=t.gray * chance.uniform(0.6, 1.15),
        solid=t.gray * chance.uniform(0.9, 1.2),
        white_matter_lesion=t.gray * chance.uniform(0.98, 1.1),
    )


def _arbitrary(chance: Rng, t: TissueLevels) -> LesionLevels:
    sign = 1.0 if chance.happens(0.8) else -1.0
    edema = t.white + sign * chance.uniform(0.15, 0.5)
    return LesionLevels(
        edema=edema,
        necrosis=edema + chance.normal(0.0, 0.25),
        enhancing=edema + chance.normal(0.0, 0.2),
        solid=edema + chance.normal(0.0, 0.08),
        white_matter_lesion=t.white + sign * chance.uniform(0.05, 0.35),
    )


def _make_faint(chance: Rng, modality: str, t: TissueLevels, levels: LesionLevels) -> None:
    if modality == "FLAIR":
        levels.solid = t.gray * chance.uniform(1.08, 1.4)
        levels.edema = t.gray * chance.uniform(1.05, 1.4)
    elif modality in ("T1", "T1CE"):
        levels.solid = t.white + (t.gray - t.white) * chance.uniform(0.5, 1.4)
    else:
        towards = t.fluid if modality in ("T2", "ADC") else levels.solid
        levels.solid = t.gray + (towards - t.gray) * chance.uniform(0.08, 0.45)
        levels.edema = t.gray + (towards - t.gray) * chance.uniform(0.05, 0.4)


def _fluid_like_edema(chance: Rng, modality: str, t: TissueLevels) -> float:
    if modality == "FLAIR":
        return t.gray * chance.uniform(1.45, 2.1)
    share = chance.uniform(0.1, 0.55) if modality in ("T1", "T1CE") else chance.uniform(0.6, 1.05)
    return t.gray + (t.fluid - t.gray) * share


def _cyst(chance: Rng, modality: str, t: TissueLevels) -> float:
    if modality == "FLAIR":
        return t.fluid + (t.gray - t.fluid) * chance.uniform(0.1, 2.0)
    share = chance.uniform(0.4, 1.0) if modality in ("T1", "T1CE") else chance.uniform(0.75, 1.15)
    return t.gray + (t.fluid - t.gray) * share
