"""A brain with a glioma, before any imaging."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from magpie_core.errors import InputError
from magpie_core.synthesis.canvas import Box, Canvas
from magpie_core.synthesis.edema import EdemaFront
from magpie_core.synthesis.phenotype import Phenotype, PhenotypeRanges
from magpie_core.synthesis.rng import Rng
from magpie_core.synthesis.subject import Subject, TissueWidths, brain_mask_of
from magpie_core.synthesis.tissue import HeadTissue as T
from magpie_core.synthesis.transform import Range, Transform
from magpie_core.synthesis.tumor_core import Rim, Satellites, TumorCore, make_core

# Relative probability of a tumor in each tissue: mostly in white matter.
_SITES = {
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
_CORTICAL_PROBABILITY = 0.15
_SITE_MM = 4.0
_MARGIN_MM = 8.0
_EDEMA_THRESHOLD = 0.33  # annotators include the faint margin
_MIN_EXTENT = 0.004


@dataclass(frozen=True, kw_only=True)
class MassEffect(Transform):
    """Displacement of the tissue around the core by a cube-root law that vanishes far away.

    Args:
        decay_mm: Three times the decay length of the displacement.
    """

    decay_mm: Range = (25.0, 90.0)

    def draw(
        self, rng: Rng, center: torch.Tensor, radius_mm: float, fraction: Range
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """Draw the displacement by a ball at `center` (3,) in mm, of whose volume a `fraction` displaces tissue.

        Returns a function of points (3, D, H, W) in mm to the positions before it of the tissue that is now there.
        """
        displaced = rng.uniform(*fraction) if rng.bernoulli(self.probability) else 0.0
        decay_mm = rng.uniform(*self.decay_mm)

        def undo(points: torch.Tensor) -> torch.Tensor:
            if displaced == 0.0:
                return points
            middle = center.to(points.device)[:, None, None, None]
            offset = points - middle
            distance = offset.square().sum(0).sqrt_().clamp_min_(0.5)
            decay = torch.exp((radius_mm - distance).clamp_max_(0.0).mul_(3.0 / decay_mm))
            outside = (distance**3 - displaced * radius_mm**3 * decay).clamp_min_(0.05).pow_(1 / 3)
            inside = distance * max(1e-3, 1.0 - displaced) ** (1 / 3)
            before = torch.where(distance < radius_mm, inside, outside)
            return middle + offset * (before / distance)

        return undo


@dataclass(frozen=True, kw_only=True)
class GrowthTransforms:
    """Transforms that shape the tumor and the tissue around it."""

    tissue_widths: TissueWidths = TissueWidths()
    mass_effect: MassEffect = MassEffect()
    satellites: Satellites = Satellites()
    rim: Rim = Rim()
    edema_front: EdemaFront = EdemaFront()


@dataclass
class Glioma:
    """Tissues and tumor compartments on the part of the grid that holds the brain (or the head).

    Args:
        canvas, head_box: This part of the grid, and its box in the whole grid.
        tissues: (16, D, H, W) probabilities of the deformed anatomy, as if there were no tumor.
        brain: (D, H, W) bool.
        edema: (D, H, W) in [0, 1].
        depth: (D, H, W): 0 where edema starts, 1 where it ends.
        labels: (D, H, W) uint8: 1 necrotic or non-enhancing core, 2 edema, 3 enhancing tumor.
        tumor_box: Bounding box of core and edema on `canvas`.
    """

    phenotype: Phenotype
    ranges: PhenotypeRanges
    canvas: Canvas
    head_box: Box
    tissues: torch.Tensor
    brain: torch.Tensor
    core: TumorCore
    edema: torch.Tensor
    depth: torch.Tensor
    labels: torch.Tensor
    tumor_box: Box

    @property
    def extent(self) -> torch.Tensor:
        """(D, H, W) in [0, 1]: core and edema."""
        return (self.core.extent + self.edema).clamp_(0, 1)


def grow_glioma(
    whole: Canvas,
    subject: Subject,
    phenotype: Phenotype,
    ranges: PhenotypeRanges,
    transforms: GrowthTransforms,
    *,
    whole_head: bool = False,
) -> Glioma:
    """Grow one glioma in a subject and deform the brain around it; nothing has an intensity yet.

    Only the part of the grid that holds the brain, or with `whole_head` the head, is computed.

    Raises:
        InputError: If there is no brain on the grid.
    """
    rng = whole.rng
    coarse, _ = whole.coarser(_SITE_MM)
    undo = None
    if phenotype is not Phenotype.NONE:
        center = _draw_site(coarse, subject.tissues(coarse.points))
        low, high = ranges.radius_limits_mm
        radius = rng.lognormal(*ranges.radius_mm) if ranges.radius_mm else rng.uniform(low, high)
        radius = min(high, max(low, radius))
        undo = transforms.mass_effect.draw(rng, center, radius, ranges.displaced_fraction)
    sparse = subject.tissues(undo(coarse.points) if undo else coarse.points)
    inside = sparse[1:].sum(0) > 0.02 if whole_head else brain_mask_of(sparse)
    head_box = _bounding_box(coarse, inside, whole, _MARGIN_MM)
    canvas = whole.crop(head_box)
    tissues = subject.tissues(undo(canvas.points) if undo else canvas.points)
    tissues = transforms.tissue_widths.apply(canvas, tissues)
    brain = brain_mask_of(tissues)
    if not bool(brain.any()):
        raise InputError(
            "There is no brain on the grid",
            cause="the head lies outside the grid, or was deformed too much",
            remedy="Check the label maps, and affine, elastic_deformation and tissue_widths in the configuration",
        )
    edema = depth = canvas.zeros()
    if undo is None:
        core = TumorCore.empty(canvas)
    else:
        core = make_core(canvas, tissues, brain, ranges, center, radius, transforms.satellites, transforms.rim)
        reach = rng.uniform(*ranges.edema_reach_mm)
        front = transforms.edema_front
        if rng.bernoulli(ranges.edema * front.probability) and bool((core.extent > _MIN_EXTENT).any()):
            edema, depth = front.spread(canvas, tissues, brain, core.extent, reach_mm=reach)
    tumor_box = _bounding_box(canvas, (core.extent > _MIN_EXTENT) | (edema > _MIN_EXTENT), canvas, 0.0)
    labels = _labels(core, edema, brain)
    return Glioma(phenotype, ranges, canvas, head_box, tissues, brain, core, edema, depth, labels, tumor_box)


def _bounding_box(canvas: Canvas, mask: torch.Tensor, target: Canvas, margin_mm: float) -> Box:
    """Return the box of `target` around a mask on `canvas`; for an empty mask, one block at the center."""
    corners = []
    for axis, n in enumerate(canvas.shape):
        others = [other for other in range(3) if other != axis]
        index = torch.nonzero(mask.any(others[1]).any(others[0]).flatten())[:, 0]
        first, last = (int(index[0]), int(index[-1])) if len(index) else (n // 2, n // 2)
        start = canvas.center_mm[axis] - (n - 1) / 2 * canvas.spacing_mm
        half = canvas.spacing_mm / 2 if canvas is not target else 0.0
        corners.append(
            (start + first * canvas.spacing_mm - half - margin_mm, start + last * canvas.spacing_mm + half + margin_mm)
        )
    low, high = torch.tensor(corners, dtype=torch.float64).T
    return target.box_around(low, high)


def _draw_site(coarse: Canvas, sparse: torch.Tensor) -> torch.Tensor:
    """Draw a center (3,) in mm: mostly in white matter, sometimes at the cortex."""
    weights = torch.stack([sparse[tissue] * weight for tissue, weight in _SITES.items()]).sum(dim=0)
    if coarse.rng.bernoulli(_CORTICAL_PROBABILITY):
        weights = weights * (0.02 + sparse[T.CORTEX])
    return coarse.draw_point(weights)


def _labels(core: TumorCore, edema: torch.Tensor, brain: torch.Tensor) -> torch.Tensor:
    labels = torch.zeros(edema.shape, dtype=torch.uint8, device=edema.device)
    labels[(edema > _EDEMA_THRESHOLD) & (edema > core.extent * 0.5)] = 2
    inside = core.extent > 0.5
    parts = torch.where(core.enhancement >= core.necrosis, 3, 1).to(torch.uint8)
    labels = torch.where(inside, parts, labels)
    labels[(core.cavity > 0.5) | ~brain] = 0
    return labels
