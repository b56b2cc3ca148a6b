"""A brain with a glioma, before any imaging."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.edema import spread_edema
from magpie_core.synthesis.glioma_recipe import RECIPES, GliomaKind, GliomaRecipe
from magpie_core.synthesis.mass_effect import push_back
from magpie_core.synthesis.subject import Subject, brain_of, vary_widths
from magpie_core.synthesis.tissue import HeadTissue as T
from magpie_core.synthesis.tumour_core import TumourCore, make_core

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


@dataclass
class Glioma:
    """Tissues and tumour compartments on one grid.

    Parameters
    ----------
    kind
        What was grown.
    tissues
        (16, D, H, W) probabilities of the deformed anatomy, as if there were no tumour.
    brain
        (D, H, W) bool.
    core
        Soft parts of the core.
    edema
        (D, H, W) in [0, 1].
    depth
        (D, H, W): 0 where edema starts, 1 where it ends.
    labels
        (D, H, W) uint8: 1 necrotic or non-enhancing core, 2 edema, 3 enhancing tumour.
    """

    kind: GliomaKind
    tissues: torch.Tensor
    brain: torch.Tensor
    core: TumourCore
    edema: torch.Tensor
    depth: torch.Tensor
    labels: torch.Tensor

    @property
    def recipe(self) -> GliomaRecipe:
        """The ranges that this kind is drawn from."""
        return RECIPES[self.kind]


def grow_glioma(canvas: Canvas, subject: Subject, kind: GliomaKind) -> Glioma:
    """Grow one glioma of a kind in a subject; the brain is deformed, nothing has an intensity yet."""
    chance, recipe = canvas.chance, RECIPES[kind]
    points = canvas.points
    if kind is GliomaKind.NONE:
        tissues = vary_widths(canvas, subject.tissues(points))
        nothing = canvas.zeros()
        labels = torch.zeros(canvas.shape, dtype=torch.uint8)
        core = TumourCore(nothing, nothing, nothing, nothing)
        return Glioma(kind, tissues, brain_of(tissues), core, nothing, nothing, labels)

    centre = _place(canvas, subject)
    radius = _radius(canvas, recipe)
    points = push_back(
        points,
        centre=centre,
        radius_mm=radius,
        share=chance.uniform(*recipe.push),
        decay_mm=chance.uniform(25.0, 90.0),
    )
    tissues = vary_widths(canvas, subject.tissues(points))
    brain = brain_of(tissues)
    core = make_core(canvas, tissues, brain, kind=kind, recipe=recipe, centre=centre, radius_mm=radius)
    edema = depth = canvas.zeros()
    reach = chance.uniform(*recipe.edema_reach_mm)
    if chance.happens(recipe.edema) and bool(core.extent.any()):
        edema, depth = spread_edema(canvas, tissues, brain, core.extent, reach_mm=reach)
    return Glioma(kind, tissues, brain, core, edema, depth, _labels(core, edema, brain))


def _place(canvas: Canvas, subject: Subject, *, cortical: float = 0.15) -> torch.Tensor:
    """A centre (3,) in mm, at every second voxel's resolution: mostly white matter, sometimes at the cortex."""
    sparse = subject.tissues(canvas.points, step=2)
    weights = torch.stack([sparse[tissue] * weight for tissue, weight in SITES.items()]).sum(dim=0)
    if canvas.chance.happens(cortical):
        weights = weights * (0.02 + sparse[T.CORTEX])
    full = weights.repeat_interleave(2, 0).repeat_interleave(2, 1).repeat_interleave(2, 2)
    return canvas.place(full)


def _radius(canvas: Canvas, recipe: GliomaRecipe) -> float:
    low, high = recipe.radius_limits_mm
    if recipe.radius_mm is None:
        return canvas.chance.uniform(low, high)
    return min(high, max(low, canvas.chance.lognormal(*recipe.radius_mm)))


def _labels(core: TumourCore, edema: torch.Tensor, brain: torch.Tensor) -> torch.Tensor:
    labels = torch.zeros(edema.shape, dtype=torch.uint8)
    labels[(edema > 0.33) & (edema > core.extent * 0.5)] = 2
    inside = core.extent > 0.5
    labels[inside] = torch.where(core.enhancement >= core.necrosis, 3, 1).to(torch.uint8)[inside]
    labels[(core.cavity > 0.5) | ~brain] = 0
    return labels
