"""The shape of a tumour's core, and what it is made of."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.glioma_recipe import GliomaKind, GliomaRecipe
from magpie_core.synthesis.rotation import rotation
from magpie_core.synthesis.tissue import HeadTissue as T


@dataclass
class TumourCore:
    """Soft parts (D, H, W) in [0, 1] of a core: extent = necrosis + enhancement + cavity."""

    extent: torch.Tensor
    necrosis: torch.Tensor
    enhancement: torch.Tensor
    cavity: torch.Tensor


def make_core(
    canvas: Canvas,
    tissues: torch.Tensor,
    brain: torch.Tensor,
    *,
    kind: GliomaKind,
    recipe: GliomaRecipe,
    centre: torch.Tensor,
    radius_mm: float,
) -> TumourCore:
    """Grow a core at a centre (3,) in mm within tissues (16, D, H, W) and brain (D, H, W) bool."""
    chance = canvas.chance
    fluid = tissues[T.SULCAL_CSF] + tissues[T.VENTRICLE] + tissues[T.CHOROID_PLEXUS]
    distance = _surface(canvas, recipe, centre, radius_mm)
    if chance.happens(recipe.satellites):
        distance = _add_satellites(canvas, distance, tissues[T.WHITE_MATTER], centre)
    distance = distance + fluid * chance.uniform(0.0, 6.0) + (~brain) * 4.0
    distance = distance + tissues[T.CORTEX] * chance.uniform(-1.0, 2.0)
    edge = 0.35 * canvas.spacing_mm
    softness = edge + chance.uniform(*recipe.edge_mm)
    extent = torch.sigmoid(-distance / softness) * brain

    cavity = canvas.zeros()
    if recipe.interior == "cyst":
        enhancing = _nodule_and_wall(canvas, distance, centre, radius_mm, edge)
        extent = torch.maximum(extent, enhancing * brain)
        necrosis = 1.0 - enhancing
    else:
        thickness = _rim_thickness(canvas)
        necrosis = _necrosis(canvas, recipe, distance, thickness, radius_mm, edge)
        if kind is GliomaKind.CAVITY:
            cavity = torch.sigmoid((-distance - thickness * 0.5 - chance.uniform(0.0, 3.0)) / edge) * extent
    solid = extent - cavity
    return TumourCore(extent, solid * necrosis, solid * (1.0 - necrosis), cavity)


def _blob(canvas: Canvas, centre: torch.Tensor, radius_mm: float, roughness: float) -> torch.Tensor:
    """Distance in mm, negative inside, of a randomly stretched ball with a rough surface."""
    chance = canvas.chance
    turn = rotation(tuple(chance.uniform(-3.0, 3.0) for _ in range(3)))
    stretch = torch.diag(torch.tensor([chance.lognormal(1.0, 0.22) for _ in range(3)]))
    length = max(1.5 * canvas.spacing_mm, chance.uniform(0.5, 1.1) * radius_mm)
    distance = ((canvas.points - centre) @ (turn @ stretch)).norm(dim=-1).sub_(radius_mm)
    return distance.add_(canvas.fractal(length, 3, 0.55), alpha=roughness * radius_mm)


def _surface(canvas: Canvas, recipe: GliomaRecipe, centre: torch.Tensor, radius_mm: float) -> torch.Tensor:
    """Signed distance of the main blob with its lobes merged smoothly into it."""
    chance = canvas.chance
    roughness = chance.uniform(*recipe.roughness)
    distance = _blob(canvas, centre, radius_mm, roughness)
    for _ in range(chance.between(*recipe.lobes)):
        radius = radius_mm * chance.uniform(0.35, 0.75)
        lobe = _blob(canvas, centre + chance.normals(3) * radius_mm * 0.7, radius, roughness)
        width = 0.35 * radius
        distance = -width * torch.logaddexp(-distance / width, -lobe / width)
    return distance


def _add_satellites(
    canvas: Canvas,
    distance: torch.Tensor,
    white_matter: torch.Tensor,
    centre: torch.Tensor,
    *,
    count: tuple[int, int] = (1, 4),
    far_mm: tuple[float, float] = (25.0, 80.0),
    gap_mm: float = 4.0,
) -> torch.Tensor:
    """Separate nodules in white matter, away from the core."""
    chance = canvas.chance
    offset = (canvas.points - centre).norm(dim=-1)
    for _ in range(chance.between(*count)):
        room = white_matter * (offset < chance.uniform(*far_mm)) * (distance > gap_mm)
        if float(room.sum()) * canvas.spacing_mm**3 < 400.0:
            break
        place = canvas.place(room)
        radius = chance.uniform(2.0, 4.5) if chance.happens(0.6) else chance.uniform(4.0, 12.0)
        distance = torch.minimum(distance, _blob(canvas, place, radius, 0.12))
    return distance


def _rim_thickness(canvas: Canvas, *, median_mm: float = 3.2, sigma: float = 0.45) -> torch.Tensor:
    chance = canvas.chance
    thickness = chance.lognormal(median_mm, sigma)
    return torch.exp(canvas.fractal(chance.uniform(8.0, 20.0), 2).mul_(0.45)).mul_(thickness)


def _necrosis(
    canvas: Canvas,
    recipe: GliomaRecipe,
    distance: torch.Tensor,
    thickness: torch.Tensor,
    radius_mm: float,
    edge: float,
) -> torch.Tensor:
    """Share (D, H, W) of the core that does not enhance."""
    chance = canvas.chance
    deep = canvas.fractal(chance.uniform(6.0, 14.0), 3, 0.6)
    if recipe.interior == "rim":
        necrosis = torch.sigmoid((-distance - thickness * recipe.rim_factor) / edge)
    elif recipe.interior == "spots" and chance.happens(recipe.enhancement):
        necrosis = torch.sigmoid((deep - chance.uniform(1.0, 2.4)) * 3) * torch.sigmoid(
            (-distance - 1.0) / edge
        )
    elif recipe.interior == "plain" and chance.happens(recipe.enhancement):
        spots = torch.sigmoid((deep - chance.uniform(1.2, 2.2)) * 5) * torch.sigmoid((-distance - 1.0) / edge)
        necrosis = 1.0 - spots
    else:
        return torch.ones(canvas.shape)
    if chance.happens(recipe.pockets):
        pockets = torch.sigmoid((deep - chance.uniform(0.8, 1.8)) * 3) * torch.sigmoid(
            (-distance - 1.2) / edge
        )
        necrosis = torch.maximum(necrosis, pockets)
    if chance.happens(recipe.rim_gap):
        length = max(2.0 * canvas.spacing_mm, chance.uniform(0.6, 1.2) * radius_mm)
        gap = torch.sigmoid((canvas.fractal(length, 2) - chance.uniform(0.3, 1.6)) * 6)
        necrosis = torch.maximum(necrosis, gap)
    return necrosis


def _nodule_and_wall(
    canvas: Canvas, distance: torch.Tensor, centre: torch.Tensor, radius_mm: float, edge: float
) -> torch.Tensor:
    """Share (D, H, W) that enhances in a cyst: a nodule in its wall, and sometimes the wall itself."""
    chance = canvas.chance
    direction = chance.normals(3)
    place = centre + direction / direction.norm() * radius_mm * chance.uniform(0.6, 1.0)
    nodule = torch.sigmoid(-_blob(canvas, place, radius_mm * chance.uniform(0.25, 0.55), 0.12) / edge)
    if chance.happens(0.5):
        wall = torch.sigmoid((distance + chance.uniform(0.8, 2.5)) / edge)
        nodule = torch.maximum(nodule, wall)
    return nodule
