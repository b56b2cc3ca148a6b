"""Shape and composition of the tumor core."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.phenotype import PhenotypeRanges
from magpie_core.synthesis.rng import Rng
from magpie_core.synthesis.tissue import HeadTissue as T
from magpie_core.synthesis.transform import Count, Range, Transform
from magpie_core.synthesis.volume_operations import pool, rotation_tensor


@dataclass(frozen=True, kw_only=True)
class Satellites(Transform):
    """Separate nodules in white matter, away from the core; their probability depends on the phenotype.

    Args:
        max_distance_mm: Greatest distance from the core's center.
        gap_mm: Least distance from the core's surface.
        tiny, tiny_mm, large_mm: Fraction of tiny nodules, and the radii of these (3 to 5 mm satellites in the MAGPIE
            paper) and of the others.
    """

    count: Count = (1, 4)
    max_distance_mm: Range = (25.0, 80.0)
    gap_mm: float = 4.0
    tiny: float = 0.6
    tiny_mm: Range = (2.0, 4.5)
    large_mm: Range = (4.0, 12.0)


@dataclass(frozen=True, kw_only=True)
class Rim(Transform):
    """The enhancing rim; its thickness varies between tumors and within one, or is the median where this is off.

    Args:
        median_mm, sigma: Median and log deviation of the thickness.
        variation, variation_mm: Log deviation along the rim, and its correlation length.
    """

    median_mm: float = 3.2
    sigma: float = 0.45
    variation: float = 0.45
    variation_mm: Range = (8.0, 20.0)

    def draw(self, canvas: Canvas) -> torch.Tensor:
        """Draw the thickness (D, H, W) in mm."""
        rng = canvas.rng
        if self.probability < 1 and not rng.bernoulli(self.probability):
            return canvas.zeros().add_(self.median_mm)
        thickness = rng.lognormal(self.median_mm, self.sigma)
        field = canvas.fractal_noise(rng.uniform(*self.variation_mm), 2)
        return field.mul_(self.variation).exp_().mul_(thickness)


@dataclass
class TumorCore:
    """Maps (D, H, W) in [0, 1] of a core: extent = necrosis + enhancement + cavity."""

    extent: torch.Tensor
    necrosis: torch.Tensor
    enhancement: torch.Tensor
    cavity: torch.Tensor

    @classmethod
    def empty(cls, canvas: Canvas) -> TumorCore:
        """Return no core at all."""
        return cls(*(canvas.zeros() for _ in range(4)))


class _Ellipsoid:
    """A random ellipsoid with a rough surface."""

    def __init__(self, rng: Rng, center: torch.Tensor, radius_mm: float, roughness: float) -> None:
        self.center, self.radius_mm, self.roughness = center, radius_mm, roughness
        rotation = rotation_tensor(rng.uniform(-3.0, 3.0) for _ in range(3))
        stretch = torch.diag(torch.tensor([rng.lognormal(1.0, 0.22) for _ in range(3)]))
        self.matrix = stretch @ rotation
        self.length = rng.uniform(0.5, 1.1)

    @property
    def reach_mm(self) -> float:
        """Bound on the distance of its surface from the center."""
        longest = 1.0 / float(torch.linalg.svdvals(self.matrix).min())
        return self.radius_mm * longest * (1.0 + 3.5 * self.roughness) + 2.0

    def distance(self, canvas: Canvas) -> torch.Tensor:
        """Draw the distance (D, H, W) from its surface in mm, negative inside."""
        length = max(1.5 * canvas.spacing_mm, self.length * self.radius_mm)
        distance = canvas.distance(self.center, self.matrix).sub_(self.radius_mm)
        return distance.add_(canvas.fractal_noise(length, 3, 0.55), alpha=self.roughness * self.radius_mm)


def make_core(
    canvas: Canvas,
    tissues: torch.Tensor,
    brain: torch.Tensor,
    ranges: PhenotypeRanges,
    center: torch.Tensor,
    radius_mm: float,
    satellites: Satellites,
    rim: Rim,
) -> TumorCore:
    """Grow a core at a center (3,) in mm within tissues (16, D, H, W) and brain (D, H, W) bool."""
    rng = canvas.rng
    roughness = rng.uniform(*ranges.roughness)
    ellipsoids = [_Ellipsoid(rng, center, radius_mm, roughness)]
    for _ in range(rng.randint(*ranges.lobes)):
        offset = torch.tensor([rng.normal(0.0, 0.7 * radius_mm) for _ in range(3)])
        ellipsoids.append(_Ellipsoid(rng, center + offset, radius_mm * rng.uniform(0.35, 0.75), roughness))
    nodules = []
    if rng.bernoulli(ranges.satellites * satellites.probability):
        nodules = _nodules(canvas, tissues[T.WHITE_MATTER], ellipsoids, satellites)

    parts = [*ellipsoids, *nodules]
    low = torch.stack([each.center - each.reach_mm for each in parts]).amin(0)
    box = canvas.box_around(low, torch.stack([each.center + each.reach_mm for each in parts]).amax(0))
    part = canvas.crop(box)
    tissues, brain = tissues[:, box[0], box[1], box[2]], brain[box]

    distance = ellipsoids[0].distance(part)
    for ellipsoid in ellipsoids[1:]:
        width = 0.35 * ellipsoid.radius_mm
        distance = torch.logaddexp(distance.div_(-width), ellipsoid.distance(part).div_(-width)).mul_(-width)
    for nodule in nodules:
        inner = part.box_around(nodule.center - nodule.reach_mm, nodule.center + nodule.reach_mm)
        distance[inner] = torch.minimum(distance[inner], nodule.distance(part.crop(inner)))

    fluid = tissues[T.SULCAL_CSF] + tissues[T.VENTRICLE] + tissues[T.CHOROID_PLEXUS]
    distance.add_(fluid, alpha=rng.uniform(0.0, 6.0)).add_((~brain).float(), alpha=4.0)
    distance.add_(tissues[T.CORTEX], alpha=rng.uniform(-1.0, 2.0))
    edge = 0.35 * canvas.spacing_mm
    extent = torch.sigmoid(-distance / (edge + rng.uniform(*ranges.edge_mm))) * brain

    cavity = torch.zeros_like(extent)
    if ranges.interior == "cyst":
        enhancing = _nodule_and_wall(part, distance, center, radius_mm, edge)
        extent = torch.maximum(extent, enhancing * brain)
        necrosis = 1.0 - enhancing
    else:
        thickness = rim.draw(part)
        necrosis = _necrosis(part, ranges, distance, thickness, radius_mm, edge)
        if ranges.cavity:
            removed = -distance - thickness * 0.5 - rng.uniform(0.0, 3.0)
            cavity = torch.sigmoid(removed / edge) * extent
    solid = extent - cavity
    core = TumorCore.empty(canvas)
    core.extent[box] = extent
    core.necrosis[box] = solid * necrosis
    core.enhancement[box] = solid * (1.0 - necrosis)
    core.cavity[box] = cavity
    return core


def _nodules(
    canvas: Canvas, white_matter: torch.Tensor, ellipsoids: list[_Ellipsoid], options: Satellites
) -> list[_Ellipsoid]:
    """Draw satellites in white matter, clear of the core, on a coarse grid."""
    rng = canvas.rng
    coarse, factor = canvas.coarser()
    allowed = pool(white_matter, factor)
    offset = coarse.distance(ellipsoids[0].center)
    nodules: list[_Ellipsoid] = []
    for _ in range(rng.randint(*options.count)):
        free = allowed * (offset < rng.uniform(*options.max_distance_mm))
        for ellipsoid in [*ellipsoids, *nodules]:
            clear = coarse.distance(ellipsoid.center, ellipsoid.matrix) - ellipsoid.radius_mm
            free = free * (clear > options.gap_mm + ellipsoid.roughness * ellipsoid.radius_mm)
        if float(free.sum()) * coarse.spacing_mm**3 < 400.0:
            break
        center = coarse.draw_point(free)
        radius = options.tiny_mm if rng.bernoulli(options.tiny) else options.large_mm
        nodules.append(_Ellipsoid(rng, center, rng.uniform(*radius), 0.12))
    return nodules


def _necrosis(
    canvas: Canvas,
    ranges: PhenotypeRanges,
    distance: torch.Tensor,
    thickness: torch.Tensor,
    radius_mm: float,
    edge: float,
) -> torch.Tensor:
    """Draw the non-enhancing fraction (D, H, W) of the core."""
    rng = canvas.rng
    deep = canvas.fractal_noise(rng.uniform(6.0, 14.0), 3, 0.6)

    def below(depth_mm: float) -> torch.Tensor:
        return torch.sigmoid((-distance - depth_mm) / edge)

    if ranges.interior == "rim":
        necrosis = torch.sigmoid((-distance - thickness * ranges.rim_factor) / edge)
    elif ranges.interior == "spots" and rng.bernoulli(ranges.enhancement):
        necrosis = torch.sigmoid((deep - rng.uniform(1.0, 2.4)) * 3) * below(1.0)
    elif ranges.interior == "plain" and rng.bernoulli(ranges.enhancement):
        necrosis = 1.0 - torch.sigmoid((deep - rng.uniform(1.2, 2.2)) * 5) * below(1.0)
    else:
        return torch.ones_like(distance)
    if rng.bernoulli(ranges.pockets):
        pockets = torch.sigmoid((deep - rng.uniform(0.8, 1.8)) * 3) * below(1.2)
        necrosis = torch.maximum(necrosis, pockets)
    if rng.bernoulli(ranges.rim_gap):
        length = max(2.0 * canvas.spacing_mm, rng.uniform(0.6, 1.2) * radius_mm)
        gap = torch.sigmoid((canvas.fractal_noise(length, 2) - rng.uniform(0.3, 1.6)) * 6)
        necrosis = torch.maximum(necrosis, gap)
    return necrosis


def _nodule_and_wall(
    canvas: Canvas, distance: torch.Tensor, center: torch.Tensor, radius_mm: float, edge: float
) -> torch.Tensor:
    """Draw the enhancing fraction (D, H, W) of a cyst: a mural nodule, and sometimes the wall."""
    rng = canvas.rng
    nodule_center = center + rng.unit_vector() * radius_mm * rng.uniform(0.6, 1.0)
    ellipsoid = _Ellipsoid(rng, nodule_center, radius_mm * rng.uniform(0.25, 0.55), 0.12)
    nodule = torch.sigmoid(-ellipsoid.distance(canvas) / edge)
    if rng.bernoulli(0.5):
        wall = torch.sigmoid((distance + rng.uniform(0.8, 2.5)) / edge) * torch.sigmoid(-distance / edge)
        nodule = torch.maximum(nodule, wall)
    return nodule
