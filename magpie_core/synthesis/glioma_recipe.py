"""The kinds of glioma and the ranges that each is drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Literal


class GliomaKind(str, Enum):
    """What a synthetic study shows."""

    GLIOBLASTOMA = "glioblastoma"
    SOLID = "solid"
    MULTIFOCAL = "multifocal"
    NECROTIC = "necrotic"
    HAEMORRHAGIC = "haemorrhagic"
    CYSTIC = "cystic"
    LOW_GRADE = "low-grade"
    INFILTRATIVE = "infiltrative"
    SMALL = "small"
    EDEMATOUS = "edematous"
    EDEMA_ONLY = "edema-only"
    CAVITY = "cavity"
    NONE = "none"


Range = tuple[float, float]


@dataclass(frozen=True)
class GliomaRecipe:
    """Ranges of one kind of glioma; a pair is (low, high) unless said otherwise.

    Parameters
    ----------
    weight
        How often the kind is drawn, relative to the others.
    radius_mm
        Median and log deviation of the core's radius, or None for a uniform draw from `radius_limits_mm`.
    radius_limits_mm
        What the radius is held within.
    push
        Share of the core's volume that displaces tissue instead of replacing it.
    lobes
        Least and greatest number of further blobs merged into the core.
    roughness
        Amplitude of the surface's noise relative to the radius.
    edge_mm
        Softness of the core's edge; the finest the grid can carry is added.
    satellites
        Probability of separate nodules.
    interior
        How the core divides into necrosis and enhancement.
    rim_factor
        Thickness of the enhancing rim relative to the common law.
    pockets, rim_gap
        Probability of further necrotic pockets, and of an incomplete rim.
    enhancement
        Probability that a mostly non-enhancing core has any enhancing spots.
    edema, edema_reach_mm
        Probability of edema, and how far it spreads in white matter.
    non_enhancing_look
        Whether the core looks like non-enhancing tumour in every rendering.
    faint, dark_edema, haemorrhage
        Probabilities, per rendering, of faint lesions, of fluid-like uniform edema, and of blood in the core.
    texture
        Amplitude of the core's own texture.
    """

    weight: float
    radius_mm: Range | None = (18.0, 0.42)
    radius_limits_mm: Range = (5.0, 33.0)
    push: Range = (0.1, 0.95)
    lobes: tuple[int, int] = (0, 2)
    roughness: Range = (0.08, 0.24)
    edge_mm: Range = (0.0, 0.0)
    satellites: float = 0.12
    interior: Literal["rim", "spots", "plain", "cyst"] = "rim"
    rim_factor: float = 1.0
    pockets: float = 0.0
    rim_gap: float = 0.18
    enhancement: float = 1.0
    edema: float = 0.96
    edema_reach_mm: Range = (4.0, 32.0)
    non_enhancing_look: bool = False
    faint: float = 0.06
    dark_edema: float = 0.12
    haemorrhage: float = 0.12
    texture: Range = (0.02, 0.22)


RECIPES = MappingProxyType(
    {
        GliomaKind.GLIOBLASTOMA: GliomaRecipe(0.25, pockets=0.5),
        GliomaKind.SOLID: GliomaRecipe(0.10, interior="spots"),
        GliomaKind.MULTIFOCAL: GliomaRecipe(0.09, lobes=(1, 4), satellites=1.0, pockets=0.5),
        GliomaKind.NECROTIC: GliomaRecipe(0.08, rim_factor=0.6),
        GliomaKind.HAEMORRHAGIC: GliomaRecipe(
            0.03,
            radius_mm=(31.0, 0.15),
            radius_limits_mm=(24.0, 42.0),
            push=(0.3, 0.95),
            lobes=(2, 5),
            pockets=0.9,
            rim_gap=0.4,
            haemorrhage=0.9,
            texture=(0.12, 0.35),
        ),
        GliomaKind.CYSTIC: GliomaRecipe(
            0.03,
            radius_limits_mm=(7.0, 30.0),
            push=(0.4, 0.95),
            lobes=(0, 0),
            roughness=(0.02, 0.08),
            interior="cyst",
            rim_gap=0.0,
            edema=0.6,
            edema_reach_mm=(0.5, 12.0),
            haemorrhage=0.0,
            texture=(0.0, 0.04),
        ),
        GliomaKind.LOW_GRADE: GliomaRecipe(
            0.16,
            radius_mm=(24.0, 0.35),
            radius_limits_mm=(6.0, 38.0),
            push=(0.0, 0.6),
            interior="plain",
            rim_gap=0.0,
            enhancement=0.3,
            edema=0.8,
            edema_reach_mm=(0.0, 18.0),
            non_enhancing_look=True,
            faint=0.45,
            texture=(0.02, 0.09),
        ),
        GliomaKind.INFILTRATIVE: GliomaRecipe(
            0.10,
            radius_mm=(24.0, 0.35),
            radius_limits_mm=(9.0, 38.0),
            push=(0.0, 0.25),
            lobes=(1, 4),
            roughness=(0.15, 0.3),
            edge_mm=(0.8, 3.0),
            interior="plain",
            rim_gap=0.0,
            enhancement=0.2,
            edema=0.7,
            edema_reach_mm=(0.0, 16.0),
            non_enhancing_look=True,
            faint=0.85,
            dark_edema=0.0,
            haemorrhage=0.0,
            texture=(0.02, 0.09),
        ),
        GliomaKind.SMALL: GliomaRecipe(
            0.05,
            radius_mm=None,
            radius_limits_mm=(3.5, 9.0),
            interior="spots",
            edema_reach_mm=(0.0, 18.0),
            edema=1.0,
        ),
        GliomaKind.EDEMATOUS: GliomaRecipe(
            0.05,
            radius_mm=None,
            radius_limits_mm=(5.0, 13.0),
            lobes=(0, 1),
            rim_factor=0.7,
            edema=1.0,
            edema_reach_mm=(14.0, 40.0),
            dark_edema=0.6,
        ),
        GliomaKind.EDEMA_ONLY: GliomaRecipe(
            0.03,
            radius_mm=None,
            radius_limits_mm=(3.0, 7.0),
            interior="spots",
            rim_gap=0.0,
            enhancement=0.5,
            edema=1.0,
            edema_reach_mm=(8.0, 26.0),
            faint=0.3,
        ),
        GliomaKind.CAVITY: GliomaRecipe(
            0.03,
            radius_limits_mm=(9.0, 33.0),
            push=(0.0, 0.6),
            edema_reach_mm=(1.0, 18.0),
        ),
        GliomaKind.NONE: GliomaRecipe(0.03),
    }
)
