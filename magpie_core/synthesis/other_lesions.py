"""Stroke and multiple sclerosis: mimics of glioma, or the target of a study."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.glioma import Glioma
from magpie_core.synthesis.tissue import HeadTissue as T
from magpie_core.synthesis.transform import Count, Range, Transform
from magpie_core.synthesis.volume_operations import pool


@dataclass
class OtherLesion:
    """Lesions of one disease in one brain.

    Args:
        extent: (D, H, W) in [0, 1].
        enhancement: (D, H, W) in [0, 1]: the enhancing part; None if there is none.
        name: "stroke" or "multiple-sclerosis".
        acute: Whether a stroke is acute: bright on DWI, dark on ADC; an old one is filled with fluid.
    """

    extent: torch.Tensor
    enhancement: torch.Tensor | None
    name: str
    acute: bool = False


@dataclass(frozen=True, kw_only=True)
class Stroke(Transform):
    """An infarct: a wedge with its base on the cortex, or a small deep one (lacune).

    Args:
        radius_mm, lacune_mm: Size of a wedge and of a lacune.
        lacune: Probability of a lacune instead of a wedge.
        angle_deg: Half the opening angle of the wedge.
        acute: Probability that the stroke is acute.
        enhancing: Probability of cortical enhancement, as in the second week.
    """

    probability: float = 0.03
    radius_mm: Range = (15.0, 45.0)
    lacune: float = 0.35
    lacune_mm: Range = (2.5, 7.0)
    angle_deg: Range = (25.0, 60.0)
    acute: float = 0.6
    enhancing: float = 0.25

    def draw(self, canvas: Canvas, glioma: Glioma) -> OtherLesion:
        """Draw one stroke, outside the glioma."""
        rng, tissues = canvas.rng, glioma.tissues
        coarse, factor = canvas.coarser()
        tissue = 1.0 - tissues[T.SULCAL_CSF] - tissues[T.VENTRICLE] - tissues[T.CHOROID_PLEXUS]
        allowed = tissue.clamp_(0, 1).mul_(glioma.brain)
        if rng.bernoulli(self.lacune):
            deep = tissues[T.STRIATUM] + tissues[T.THALAMUS] + tissues[T.WHITE_MATTER]
            center = coarse.draw_point(pool(deep, factor))
            distance = canvas.distance(center).add_(canvas.smooth_noise(5.0), alpha=0.8)
            extent = torch.sigmoid((rng.uniform(*self.lacune_mm) - distance) / 0.7)
        else:
            base = coarse.draw_point(pool(tissues[T.CORTEX], factor))
            inward = torch.tensor(canvas.center_mm) - base
            length = float(inward.norm().clamp_min(1.0))
            apex = base + inward * rng.uniform(0.5, 0.8)
            axis = -inward / length
            away = [canvas.axis(a) - float(apex[a]) for a in range(3)]
            along = away[0] * float(axis[0]) + away[1] * float(axis[1]) + away[2] * float(axis[2])
            opening = along / canvas.distance(apex).clamp_min(1.0)
            ragged = canvas.fractal_noise(12.0, 2)
            wedge = torch.sigmoid(
                (opening - math.cos(math.radians(rng.uniform(*self.angle_deg)))).add_(ragged, alpha=0.08) * 18
            )
            near = rng.uniform(*self.radius_mm) - canvas.distance(base).add_(ragged, alpha=2.5)
            # an artery supplies one hemisphere
            side = (canvas.axis(0) - canvas.center_mm[0]) * (1.0 if float(base[0]) > canvas.center_mm[0] else -1.0)
            extent = wedge * torch.sigmoid(near / 1.5) * torch.sigmoid(side)
        extent = extent.mul_(allowed).mul_(1.0 - glioma.extent)
        acute = rng.bernoulli(self.acute)
        enhancement = None
        if rng.bernoulli(self.enhancing):
            enhancement = extent * tissues[T.CORTEX] * torch.sigmoid(canvas.smooth_noise(8.0) * 3)
        return OtherLesion(extent, enhancement, "stroke", acute)


@dataclass(frozen=True, kw_only=True)
class MultipleSclerosis(Transform):
    """Plaques: oval, most of them periventricular with the long axis away from the ventricles (Dawson's fingers).

    Args:
        radius_mm: Short radius; the long one is up to 2.5 times as large.
        periventricular: Fraction of plaques at the ventricles.
        enhancing: Probability that a plaque enhances, as a nodule or an open ring.
    """

    probability: float = 0.03
    count: Count = (4, 30)
    radius_mm: Range = (1.5, 5.0)
    periventricular: float = 0.65
    enhancing: float = 0.12

    def draw(self, canvas: Canvas, glioma: Glioma) -> OtherLesion:
        """Draw the plaques of one brain, outside the glioma."""
        rng, tissues = canvas.rng, glioma.tissues
        coarse, factor = canvas.coarser(3.0)
        white = pool(tissues[T.WHITE_MATTER], factor)
        fluid = pool(tissues[T.VENTRICLE], factor)
        near = coarse.blur(fluid, 5.0)
        extent = canvas.zeros()
        enhancement: torch.Tensor | None = None
        for _ in range(rng.randint(*self.count)):
            close = rng.bernoulli(self.periventricular)
            center = coarse.draw_point(white * (near + 1e-4) if close else white, scatter_mm=1.0)
            radius = rng.uniform(*self.radius_mm)
            outward = center - torch.tensor(canvas.center_mm) if close else rng.unit_vector()
            outward = outward / outward.norm().clamp_min(1e-3)
            stretch = rng.uniform(0.4, 1.0)
            matrix = torch.eye(3) - (1.0 - stretch) * torch.outer(outward, outward)
            reach = radius / stretch + 3.0
            box = canvas.box_around(center - reach, center + reach)
            part = canvas.crop(box)
            distance = part.distance(center, matrix).sub_(radius)
            plaque = torch.sigmoid(-distance / 0.5)
            extent[box] = torch.maximum(extent[box], plaque)
            if rng.bernoulli(self.enhancing):
                ring = plaque if rng.bernoulli(0.5) else torch.sigmoid((distance + 1.5) / 0.4) * plaque
                if enhancement is None:
                    enhancement = canvas.zeros()
                enhancement[box] = torch.maximum(enhancement[box], ring)
        allowed = (1.0 - glioma.extent) * glioma.brain
        allowed.mul_((1.0 - tissues[T.SULCAL_CSF] - tissues[T.VENTRICLE] - tissues[T.CHOROID_PLEXUS]).clamp_(0, 1))
        return OtherLesion(
            extent.mul_(allowed), None if enhancement is None else enhancement.mul_(allowed), "multiple-sclerosis"
        )
