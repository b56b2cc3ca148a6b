"""The kinds of glioma, and what each is drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from magpie_core.synthesis.transform import Count, Law, Range


class Phenotype(str, Enum):
    """What a synthetic study shows."""

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
        Whether the core looks like non-enhancing tumor in every rendering.
    faint, dark_edema, hemorrhage, calcification
        Probabilities, per rendering, of faint lesions, fluid-like uniform edema, and blood and calcium in the core.
    cavity
        Whether the inside of the core was removed and holds fluid.
    texture
        Amplitude of the core's own texture.
    """

    weight: float
    radius_mm: Law | None = (18.0, 0.42)
    radius_limits_mm: Range = (5.0, 33.0)
    push: Range = (0.1, 0.95)
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
    non_enhancing_look: bool = False
    faint: float = 0.06
    dark_edema: float = 0.12
    hemorrhage: float = 0.12
    calcification: float = 0.05
    cavity: bool = False
    texture: Range = (0.02, 0.22)
