"""How bright the parts of a glioma are, relative to the tissues of the same image."""

from __future__ import annotations

from dataclasses import dataclass

from magpie_core.synthesis.chance import Chance
from magpie_core.synthesis.glioma_recipe import GliomaRecipe
from magpie_core.synthesis.tissue_contrast import TissueLevels


@dataclass(frozen=True)
class LesionLook:
    """What all sequences of one rendering share.

    Parameters
    ----------
    fluid
        From gelatinous (0) to fluid (1) necrosis.
    core
        Whether the non-enhancing core looks like necrosis (0), like non-enhancing tumour (1), or between.
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

    @classmethod
    def draw(cls, chance: Chance, recipe: GliomaRecipe, *, edema_like_core: float = 0.55) -> LesionLook:
        """Draw a look for a kind of glioma."""
        mixture = chance.uniform(0.0, 1.0)
        core = 1.0 if recipe.non_enhancing_look or mixture < 0.25 else 0.5 if mixture < 0.5 else 0.0
        return cls(
            fluid=chance.uniform(0.0, 1.0) ** 1.6,
            core=core,
            edema_like_core=chance.happens(edema_like_core),
            faint=chance.happens(recipe.faint),
            dark_edema=chance.happens(recipe.dark_edema),
            cystic=recipe.interior == "cyst",
        )


@dataclass
class LesionLevels:
    """Intensities in one image: edema, necrosis, non-enhancing tumour, enhancing tumour, white matter lesions, core."""

    edema: float
    necrosis: float
    solid: float
    enhancing: float
    white_matter_lesion: float
    core: float = 0.0


def draw_lesion_levels(
    chance: Chance, sequence: str, tissues: TissueLevels, look: LesionLook
) -> LesionLevels:
    """Draw the levels of a glioma in one image of a rendering."""
    if tissues.arbitrary:
        levels = _arbitrary(chance, tissues)
    else:
        levels = {"T1": _t1, "T1CE": _t1ce, "T2": _t2, "FLAIR": _flair}[sequence](chance, tissues, look)
        dark = sequence in ("T1", "T1CE")
        if look.dark_edema:
            levels.edema = _fluid_like_edema(chance, sequence, tissues)
        if look.faint:
            _make_faint(chance, sequence, tissues, levels)
        if look.edema_like_core and not look.dark_edema:
            if dark:
                levels.edema = levels.solid + (tissues.white - levels.solid) * chance.uniform(-0.1, 0.3)
            else:
                levels.edema = levels.solid * chance.uniform(0.92, 1.12)
    levels.core = look.core * levels.solid + (1.0 - look.core) * levels.necrosis
    if look.cystic and not tissues.arbitrary:
        levels.core = _cyst(chance, sequence, tissues)
    return levels


def _t1(chance: Chance, t: TissueLevels, look: LesionLook) -> LesionLevels:
    grey_from_white, fluid_from_grey = t.grey - t.white, t.fluid - t.grey
    return LesionLevels(
        edema=t.white + grey_from_white * chance.uniform(0.75, 1.9),
        necrosis=t.grey + fluid_from_grey * chance.uniform(0.1, 0.85),
        enhancing=t.white + grey_from_white * chance.uniform(0.3, 1.4),
        solid=t.grey + fluid_from_grey * chance.uniform(-0.1, 0.5),
        white_matter_lesion=t.white + grey_from_white * chance.uniform(0.1, 1.1),
    )


def _t1ce(chance: Chance, t: TissueLevels, look: LesionLook) -> LesionLevels:
    levels = _t1(chance, t, look)
    levels.enhancing = t.white * chance.uniform(1.08, 2.0)
    return levels


def _t2(chance: Chance, t: TissueLevels, look: LesionLook) -> LesionLevels:
    span = t.fluid - t.grey
    gelatinous, watery = chance.uniform(0.35, 0.9), chance.uniform(0.75, 1.15)
    return LesionLevels(
        edema=t.grey + span * chance.uniform(0.35, 1.0),
        necrosis=t.grey + span * (gelatinous * (1 - look.fluid) + watery * look.fluid),
        enhancing=t.grey + span * chance.uniform(0.1, 0.75),
        solid=t.grey + span * chance.uniform(0.45, 1.05),
        white_matter_lesion=t.grey + span * chance.uniform(0.0, 0.6),
    )


def _flair(chance: Chance, t: TissueLevels, look: LesionLook, *, mismatch: float = 0.2) -> LesionLevels:
    gelatinous, watery = chance.uniform(1.1, 2.0), chance.uniform(0.4, 1.5)
    solid = chance.uniform(1.3, 2.0)
    if look.core == 1.0 and chance.happens(mismatch):
        solid = chance.uniform(0.6, 1.0)  # the T2-FLAIR mismatch of some low-grade tumours
    return LesionLevels(
        edema=t.grey * chance.uniform(1.3, 1.95),
        necrosis=t.grey * (gelatinous * (1 - look.fluid) + watery * look.fluid),
        enhancing=t.grey * chance.uniform(1.15, 2.0),
        solid=t.grey * solid,
        white_matter_lesion=t.grey * chance.uniform(1.15, 1.75),
    )


def _arbitrary(chance: Chance, t: TissueLevels) -> LesionLevels:
    sign = 1.0 if chance.happens(0.8) else -1.0
    edema = t.white + sign * chance.uniform(0.15, 0.5)
    return LesionLevels(
        edema=edema,
        necrosis=edema + chance.normal(0.0, 0.25),
        enhancing=edema + chance.normal(0.0, 0.2),
        solid=edema + chance.normal(0.0, 0.08),
        white_matter_lesion=t.white + sign * chance.uniform(0.05, 0.35),
    )


def _make_faint(chance: Chance, sequence: str, t: TissueLevels, levels: LesionLevels) -> None:
    if sequence == "FLAIR":
        levels.solid = t.grey * chance.uniform(1.08, 1.4)
        levels.edema = t.grey * chance.uniform(1.05, 1.4)
    elif sequence == "T2":
        levels.solid = t.grey + (t.fluid - t.grey) * chance.uniform(0.08, 0.45)
        levels.edema = t.grey + (t.fluid - t.grey) * chance.uniform(0.05, 0.4)
    else:
        levels.solid = t.white + (t.grey - t.white) * chance.uniform(0.5, 1.4)


def _fluid_like_edema(chance: Chance, sequence: str, t: TissueLevels) -> float:
    if sequence == "FLAIR":
        return t.grey * chance.uniform(1.45, 2.1)
    if sequence == "T2":
        return t.grey + (t.fluid - t.grey) * chance.uniform(0.6, 1.05)
    return t.grey + (t.fluid - t.grey) * chance.uniform(0.1, 0.55)


def _cyst(chance: Chance, sequence: str, t: TissueLevels) -> float:
    if sequence == "FLAIR":
        return t.fluid + (t.grey - t.fluid) * chance.uniform(0.1, 2.0)
    if sequence == "T2":
        return t.grey + (t.fluid - t.grey) * chance.uniform(0.75, 1.15)
    return t.grey + (t.fluid - t.grey) * chance.uniform(0.4, 1.0)
