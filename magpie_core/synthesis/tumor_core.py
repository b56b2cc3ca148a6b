"""The shape of a tumor's core, and what it is made of."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.phenotype import PhenotypeRanges
from magpie_core.synthesis.rng import Rng
from magpie_core.synthesis.rotation import rotation
from magpie_core.synthesis.tissue import HeadTissue as T
from magpie_core.synthesis.transform import Count, Range, Transform


@dataclass(frozen=True, kw_only=True)
class Satellites(Transform):
    """Separate nodules in white matter, away from the core; how often they come is the kind's.

    Parameters
    ----------
    count
        Nodules of one tumor.
    far_mm
        Greatest distance from the core's center.
    gap_mm
        Least distance from the core's surface.
    tiny, tiny_mm, large_mm
        Share of tiny ones, and the radii of these (the 3 to 5 mm satellites of the MAGPIE paper) and of the others.
    """

    count: Count = (1, 4)
    far_mm: Range = (25.0, 80.0)
    gap_mm: float = 4.0
    tiny: float = 0.6
    tiny_mm: Range = (2.0, 4.5)
    large_mm: Range = (4.0, 12.0)


@dataclass(frozen=True, kw_only=True)
class Rim(Transform):
    """The enhancing rim, whose thickness varies between tumors and along one; without the effect it is the median.

    Parameters
    ----------
    median_mm, sigma
        Median and log deviation of the thickness.
    variation, variation_mm
        Log deviation along the rim, and its correlation length.
    """

    median_mm: float = 3.2
    sigma: float = 0.45
    variation: float = 0.45
    variation_mm: Range = (8.0, 20.0)

    def draw(self, canvas: Canvas) -> torch.Tensor:
        """Thickness (D, H, W) in mm."""
        chance = canvas.chance
        if self.probability < 1 and not chance.happens(self.probability):
            return canvas.zeros().add_(self.median_mm)
        thickness = chance.lognormal(self.median_mm, self.sigma)
        field = canvas.fractal(chance.uniform(*self.variation_mm), 2)
        return field.mul_(self.variation).exp_().mul_(thickness)


@dataclass
class TumorCore:
    """Soft parts (D, H, W) in [0, 1] of a core: extent = necrosis + enhancement + cavity."""

    extent: torch.Tensor
    necrosis: torch.Tensor
    enhancement: torch.Tensor
    cavity: torch.Tensor

    @classmethod
    def nothing(cls, canvas: Canvas) -> TumorCore:
        """No core at all."""
        return cls(*(canvas.zeros() for _ in range(4)))


@dataclass(frozen=True)
class _Blob:
    """A randomly stretched ball with a rough surface."""

    center: torch.Tensor
    radius_mm: float
    matrix: torch.Tensor
    roughness: float
    length: float

    @classmethod
    def draw(cls, chance: Rng, center: torch.Tensor, radius_mm: float, roughness: float) -> _Blob:
        turn = rotation(tuple(chance.uniform(-3.0, 3.0) for _ in range(3)))
        stretch = torch.diag(torch.tensor([chance.lognormal(1.0, 0.22) for _ in range(3)]))
        return cls(center, radius_mm, stretch @ turn, roughness, chance.uniform(0.5, 1.1))

    @property
    def reach_mm(self) -> float:
        """Beyond this distance from the center there is none of it."""
        longest = 1.0 / float(torch.linalg.svdvals(self.matrix).min())
        return self.radius_mm * longest * (1.0 + 3.5 * self.roughness) + 2.0

    def distance(self, canvas: Canvas) -> torch.Tensor:
        """(D, H, W) in mm, negative inside."""
        length = max(1.5 * canvas.spacing_mm, self.length * self.radius_mm)
        distance = canvas.distance(self.center, self.matrix).sub_(self.radius_mm)
        return distance.add_(canvas.fractal(length, 3, 0.55), alpha=self.roughness * self.radius_mm)


def make_core(
    canvas: Canvas,
    tissues: torch.Tensor,
    brain: torch.Tensor,
    *,
    ranges: PhenotypeRanges,
    center: torch.Tensor,
    radius_mm: float,
    satellites: Satellites,
    rim: Rim,
) -> TumorCore:
    """Grow a core at a center (3,) in mm within tissues (16, D, H, W) and brain (D, H, W) bool.

    Everything but its place is worked out in a window around it.
    """
    chance = canvas.chance
    roughness = chance.uniform(*ranges.roughness)
    blobs = [_Blob.draw(chance, center, radius_mm, roughness)]
    for _ in range(chance.between(*ranges.lobes)):
        offset = torch.tensor([chance.normal(0.0, 0.7 * radius_mm) for _ in range(3)])
        blobs.append(_Blob.draw(chance, center + offset, radius_mm * chance.uniform(0.35, 0.75), roughness))
    nodules = []
    if chance.happens(ranges.satellites * satellites.probability):
        nodules = _nodules(canvas, tissues[T.WHITE_MATTER], blobs, satellites)

    low = torch.stack([blob.center - blob.reach_mm for blob in [*blobs, *nodules]]).amin(0)
    high = torch.stack([blob.center + blob.reach_mm for blob in [*blobs, *nodules]]).amax(0)
    box = canvas.box_around(low, high)
    part = canvas.window(box)
    tissues, brain = tissues[:, box[0], box[1], box[2]], brain[box]

    distance = blobs[0].distance(part)
    for blob in blobs[1:]:
        width = 0.35 * blob.radius_mm
        distance = torch.logaddexp(distance.div_(-width), blob.distance(part).div_(-width)).mul_(-width)
    for nodule in nodules:
        inner = part.box_around(nodule.center - nodule.reach_mm, nodule.center + nodule.reach_mm)
        distance[inner] = torch.minimum(distance[inner], nodule.distance(part.window(inner)))

    fluid = tissues[T.SULCAL_CSF] + tissues[T.VENTRICLE] + tissues[T.CHOROID_PLEXUS]
    distance.add_(fluid, alpha=chance.uniform(0.0, 6.0)).add_((~brain).float(), alpha=4.0)
    distance.add_(tissues[T.CORTEX], alpha=chance.uniform(-1.0, 2.0))
    edge = 0.35 * canvas.spacing_mm
    extent = torch.sigmoid(-distance / (edge + chance.uniform(*ranges.edge_mm))) * brain

    cavity = torch.zeros_like(extent)
    if ranges.interior == "cyst":
        enhancing = _nodule_and_wall(part, distance, center, radius_mm, edge)
        extent = torch.maximum(extent, enhancing * brain)
        necrosis = 1.0 - enhancing
    else:
        thickness = rim.draw(part)
        necrosis = _necrosis(part, ranges, distance, thickness, radius_mm, edge)
        if ranges.cavity:
            removed = -distance - thickness * 0.5 - chance.uniform(0.0, 3.0)
            cavity = torch.sigmoid(removed / edge) * extent
    solid = extent - cavity
    core = TumorCore.nothing(canvas)
    core.extent[box] = extent
    core.necrosis[box] = solid * necrosis
    core.enhancement[box] = solid * (1.0 - necrosis)
    core.cavity[box] = cavity
    return core


def _nodules(
    canvas: Canvas, white_matter: torch.Tensor, blobs: list[_Blob], options: Satellites
) -> list[_Blob]:
    """Where satellites lie: in white matter, clear of the core; chosen on a coarse grid."""
    chance = canvas.chance
    coarse, factor = canvas.coarser()
    room = torch.nn.functional.avg_pool3d(white_matter[None, None], factor)[0, 0]
    offset = coarse.distance(blobs[0].center)
    nodules: list[_Blob] = []
    for _ in range(chance.between(*options.count)):
        free = room * (offset < chance.uniform(*options.far_mm))
        for blob in [*blobs, *nodules]:
            clear = coarse.distance(blob.center, blob.matrix) - blob.radius_mm
            free = free * (clear > options.gap_mm + blob.roughness * blob.radius_mm)
        if float(free.sum()) * coarse.spacing_mm**3 < 400.0:
            break
        place = coarse.place(free)
        radius = options.tiny_mm if chance.happens(options.tiny) else options.large_mm
        nodules.append(_Blob.draw(chance, place, chance.uniform(*radius), 0.12))
    return nodules


def _necrosis(
    canvas: Canvas,
    ranges: PhenotypeRanges,
    distance: torch.Tensor,
    thickness: torch.Tensor,
    radius_mm: float,
    edge: float,
) -> torch.Tensor:
    """Share (D, H, W) of the core that does not enhance."""
    chance = canvas.chance
    deep = canvas.fractal(chance.uniform(6.0, 14.0), 3, 0.6)

    def below(depth_mm: float) -> torch.Tensor:
        return torch.sigmoid((-distance - depth_mm) / edge)

    if ranges.interior == "rim":
        necrosis = torch.sigmoid((-distance - thickness * ranges.rim_factor) / edge)
    elif ranges.interior == "spots" and chance.happens(ranges.enhancement):
        necrosis = torch.sigmoid((deep - chance.uniform(1.0, 2.4)) * 3) * below(1.0)
    elif ranges.interior == "plain" and chance.happens(ranges.enhancement):
        necrosis = 1.0 - torch.sigmoid((deep - chance.uniform(1.2, 2.2)) * 5) * below(1.0)
    else:
        return torch.ones_like(distance)
    if chance.happens(ranges.pockets):
        pockets = torch.sigmoid((deep - chance.uniform(0.8, 1.8)) * 3) * below(1.2)
        necrosis = torch.maximum(necrosis, pockets)
    if chance.happens(ranges.rim_gap):
        length = max(2.0 * canvas.spacing_mm, chance.uniform(0.6, 1.2) * radius_mm)
        gap = torch.sigmoid((canvas.fractal(length, 2) - chance.uniform(0.3, 1.6)) * 6)
        necrosis = torch.maximum(necrosis, gap)
    return necrosis


def _nodule_and_wall(
    canvas: Canvas, distance: torch.Tensor, center: torch.Tensor, radius_mm: float, edge: float
) -> torch.Tensor:
    """Share (D, H, W) that enhances in a cyst: a nodule in its wall, and sometimes the wall itself."""
    chance = canvas.chance
    place = center + chance.direction() * radius_mm * chance.uniform(0.6, 1.0)
    blob = _Blob.draw(chance, place, radius_mm * chance.uniform(0.25, 0.55), 0.12)
    nodule = torch.sigmoid(-blob.distance(canvas) / edge)
    if chance.happens(0.5):
        wall = torch.sigmoid((distance + chance.uniform(0.8, 2.5)) / edge) * torch.sigmoid(-distance / edge)
        nodule = torch.maximum(nodule, wall)
    return nodule
