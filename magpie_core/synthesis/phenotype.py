"""Phenotypes of glioma and the ranges of their properties."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from magpie_core.synthesis.transform import Count, MedianSigma, Range


class Phenotype(str, Enum):
    """Type of tumor in a synthetic study."""

    GLIOBLASTOMA = "glioblastoma"
    SOLID = "solid"
    MULTIFOCAL = "multifocal"
    NECROTIC = "necrotic"
    HEMORRHAGIC = "hemorrhagic"
    CYSTIC = "cystic"
    LOW_GRADE = "low-grade"
    INFILTRATIVE = "infiltrative"
    SMALL = "small"
    EDEMATOUS = "edematous"
    EDEMA_ONLY = "edema-only"
    CAVITY = "cavity"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class PhenotypeRanges:
    """Ranges of one phenotype; a pair is (low, high) unless documented otherwise.

    Args:
        weight: Frequency relative to the other phenotypes.
        radius_mm: Median and log deviation of the core's radius, or None for a uniform draw from `radius_limits_mm`.
        displaced_fraction: Fraction of the core's volume that displaces tissue instead of replacing it.
        lobes: Number of further ellipsoids merged into the core.
        roughness: Amplitude of the noise on the surface relative to the radius.
        edge_mm: Softness of the core's edge, beside that of the grid.
        satellites: Probability of separate nodules.
        interior: Layout of necrosis and enhancement in the core.
        rim_factor: Factor on the thickness of the enhancing rim.
        pockets, rim_gap: Probability of further necrotic pockets, and of an incomplete rim.
        enhancement: Probability that a mostly non-enhancing core has any enhancing spots.
        edema, edema_reach_mm: Probability of edema, and the distance that it spreads in white matter.
        non_enhancing_core: Whether the core has the intensity of non-enhancing tumor in every rendering.
        faint, dark_edema, hemorrhage, calcification: Probabilities, per rendering, of faint lesions, uniform fluid-like
            edema, and blood and calcium in the core.
        cavity: Whether the inside of the core is a resection cavity filled with fluid.
        texture: Amplitude of the core's texture.
    """

    weight: float
    radius_mm: MedianSigma | None = (18.0, 0.42)
    radius_limits_mm: Range = (5.0, 33.0)
    displaced_fraction: Range = (0.1, 0.95)
    lobes: Count = (0, 2)
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
    non_enhancing_core: bool = False
    faint: float = 0.06
    dark_edema: float = 0.12
    hemorrhage: float = 0.12
    calcification: float = 0.05
    cavity: bool = False
    texture: Range = (0.02, 0.22)
