"""A brain with a glioma, before any imaging."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from magpie_core.errors import InputError
from magpie_core.synthesis.canvas import Box, Canvas
from magpie_core.synthesis.config import GeneratorConfig
from magpie_core.synthesis.phenotype import Phenotype, PhenotypeRanges
from magpie_core.synthesis.subject import Subject, brain_of
from magpie_core.synthesis.tissue import HeadTissue as T
from magpie_core.synthesis.tumor_core import TumorCore, make_core

# Where gliomas grow: mostly in white matter.
SITES = {
    T.WHITE_MATTER: 1.0,
    T.WHITE_MATTER_LESION: 0.6,
    T.CORTEX: 0.25,
    T.STRIATUM: 0.35,
    T.THALAMUS: 0.3,
    T.HIPPOCAMPUS: 0.35,
    T.CEREBELLAR_WHITE_MATTER: 0.03,
    T.CEREBELLAR_CORTEX: 0.03,
    T.BRAINSTEM: 0.03,
}
_CORTICAL = 0.15
_SITE_MM = 4.0
_MARGIN_MM = 8.0
_EDEMA_LABEL = 0.33  # annotators take the faint margin along
_TRACE = 0.004


@dataclass
class Glioma:
    """Tissues and tumor compartments on one grid: the part of the whole grid that holds the head.

    Parameters
    ----------
    kind, ranges
        What was grown, and what it was drawn from.
    canvas, place
        The grid, and where in the whole grid it lies.
    tissues
        (16, D, H, W) probabilities of the deformed anatomy, as if there were no tumor.
    brain
        (D, H, W) bool.
    core
        Soft parts of the core.
    edema
        (D, H, W) in [0, 1].
    depth
        (D, H, W): 0 where edema starts, 1 where it ends.
    labels
        (D, H, W) uint8: 1 necrotic or non-enhancing core, 2 edema, 3 enhancing tumor.
    box
        Where there is any of it.
    """

    kind: Phenotype
    ranges: PhenotypeRanges
    canvas: Canvas
    place: Box
    tissues: torch.Tensor
    brain: torch.Tensor
    core: TumorCore
    edema: torch.Tensor
    depth: torch.Tensor
    labels: torch.Tensor
    box: Box

    @property
    def extent(self) -> torch.Tensor:
        """(D, H, W) in [0, 1]: core and edema."""
        return (self.core.extent + self.edema).clamp_(0, 1)


def grow_glioma(
    whole: Canvas, subject: Subject, kind: Phenotype, recipe: GeneratorConfig, *, whole_head: bool = False
) -> Glioma:
    """Grow one glioma of a kind in a subject; the brain is deformed, nothing has an intensity yet.

    Only the part of the grid that holds the brain is worked on, or with `whole_head` the head.

    Raises
    ------
    InputError
        If there is no brain on the grid.
    """
    chance, ranges, effects = whole.chance, recipe.kinds[kind], recipe.effects
    coarse, _ = whole.coarser(_SITE_MM)
    points = coarse.points
    push = None
    if kind is not Phenotype.NONE:
        center = _site(coarse, subject.tissues(points))
        radius = _radius(whole, ranges)
        push = effects.mass_effect.draw(chance, center=center, radius_mm=radius, push=ranges.push)
        points = push.back(points)
    sparse = subject.tissues(points)
    inside = sparse[1:].sum(0) > 0.02 if whole_head else brain_of(sparse)
    place = _box(coarse, inside, whole, _MARGIN_MM)
    canvas = whole.window(place)
    points = canvas.points if push is None else push.back(canvas.points)
    tissues = effects.tissue_widths.apply(canvas, subject.tissues(points))
    del points
    brain = brain_of(tissues)
    if not bool(brain.any()):
        raise InputError(
            "There is no brain on the grid",
            cause="the head lies beyond it, or was changed beyond recognition",
            remedy="Look at the recipe's pose, bending and tissue-widths, and at the label maps",
        )
    edema = depth = canvas.zeros()
    if push is None:
        core = TumorCore(*([canvas.zeros()] * 4))
    else:
        core = make_core(
            canvas,
            tissues,
            brain,
            ranges=ranges,
            center=push.center,
            radius_mm=push.radius_mm,
            satellites=effects.satellites,
            rim=effects.rim,
        )
        reach = chance.uniform(*ranges.edema_reach_mm)
        front = effects.edema_front
        if chance.happens(ranges.edema * front.probability) and bool((core.extent > _TRACE).any()):
            edema, depth = front.spread(canvas, tissues, brain, core.extent, reach_mm=reach)
    box = _box(canvas, (core.extent > _TRACE) | (edema > _TRACE), canvas, 0.0)
    labels = _labels(core, edema, brain)
    return Glioma(kind, ranges, canvas, place, tissues, brain, core, edema, depth, labels, box)


def _box(canvas: Canvas, there: torch.Tensor, target: Canvas, margin_mm: float) -> Box:
    """The part of `target` that holds what is there on `canvas`; of nothing, one block."""
    corners = []
    for axis, n in enumerate(canvas.shape):
        others = [other for other in range(3) if other != axis]
        place = torch.nonzero(there.any(others[1]).any(others[0]).flatten())[:, 0]
        first, last = (int(place[0]), int(place[-1])) if len(place) else (n // 2, n // 2)
        middle = canvas.middle_mm[axis] - (n - 1) / 2 * canvas.spacing_mm
        half = canvas.spacing_mm / 2 if canvas is not target else 0.0
        corners.append(
            (
                middle + first * canvas.spacing_mm - half - margin_mm,
                middle + last * canvas.spacing_mm + half + margin_mm,
            )
        )
    low, high = torch.tensor(corners, dtype=torch.float64).T
    return target.box_around(low, high)


def _site(coarse: Canvas, sparse: torch.Tensor) -> torch.Tensor:
    """A center (3,) in mm: mostly white matter, sometimes at the cortex."""
    weights = torch.stack([sparse[tissue] * weight for tissue, weight in SITES.items()]).sum(dim=0)
    if coarse.chance.happens(_CORTICAL):
        weights = weights * (0.02 + sparse[T.CORTEX])
    return coarse.place(weights)


def _radius(canvas: Canvas, ranges: PhenotypeRanges) -> float:
    low, high = ranges.radius_limits_mm
    if ranges.radius_mm is None:
        return canvas.chance.uniform(low, high)
    return min(high, max(low, canvas.chance.lognormal(*ranges.radius_mm)))


def _labels(core: TumorCore, edema: torch.Tensor, brain: torch.Tensor) -> torch.Tensor:
    labels = torch.zeros(edema.shape, dtype=torch.uint8, device=edema.device)
    labels[(edema > _EDEMA_LABEL) & (edema > core.extent * 0.5)] = 2
    inside = core.extent > 0.5
    parts = torch.where(core.enhancement >= core.necrosis, 3, 1).to(torch.uint8)
    labels = torch.where(inside, parts, labels)
    labels[(core.cavity > 0.5) | ~brain] = 0
    return labels
