"""Lesions that are no glioma: strokes and multiple sclerosis; look-alikes, or what a study is about."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.tissue import HeadTissue as T
from magpie_core.synthesis.transform import Count, Range, Transform

if TYPE_CHECKING:
    from magpie_core.synthesis.glioma import Glioma


@dataclass
class OtherLesion:
    """One kind of lesion in one brain.

    Parameters
    ----------
    extent
        (D, H, W) in [0, 1].
    enhancement
        (D, H, W) in [0, 1]: the part that takes up contrast medium; None if nothing does.
    name
        "stroke" or "multiple-sclerosis".
    acute
        Of a stroke: bright on DWI, dark on ADC; an old one is filled with fluid.
    """

    extent: torch.Tensor
    enhancement: torch.Tensor | None
    name: str
    acute: bool = False


@dataclass(frozen=True, kw_only=True)
class Stroke(Transform):
    """An infarct: a wedge with its base on the cortex, the territory of a vessel, or a small deep one.

    Parameters
    ----------
    radius_mm, lacune_mm
        Size of a wedge and of a lacune.
    lacune
        Probability of a lacune instead of a wedge.
    angle_deg
        Half the wedge's opening.
    acute
        Probability that it is fresh.
    enhancing
        Probability that its cortex enhances, as in the second week.
    """

    probability: float = 0.03
    radius_mm: Range = (15.0, 45.0)
    lacune: float = 0.35
    lacune_mm: Range = (2.5, 7.0)
    angle_deg: Range = (25.0, 60.0)
    acute: float = 0.6
    enhancing: float = 0.25

    def draw(self, canvas: Canvas, glioma: Glioma) -> OtherLesion:
        """One stroke, not where the glioma is."""
        chance, tissues = canvas.chance, glioma.tissues
        coarse, factor = canvas.coarser()
        tissue = 1.0 - tissues[T.SULCAL_CSF] - tissues[T.VENTRICLE] - tissues[T.CHOROID_PLEXUS]
        room = tissue.clamp_(0, 1).mul_(glioma.brain)
        pick = torch.nn.functional.avg_pool3d
        if chance.happens(self.lacune):
            deep = tissues[T.STRIATUM] + tissues[T.THALAMUS] + tissues[T.WHITE_MATTER]
            center = coarse.place(pick(deep[None, None], factor)[0, 0])
            distance = canvas.distance(center).add_(canvas.smooth(5.0), alpha=0.8)
            extent = torch.sigmoid((chance.uniform(*self.lacune_mm) - distance) / 0.7)
        else:
            base = coarse.place(pick(tissues[T.CORTEX][None, None], factor)[0, 0])
            inward = torch.tensor(canvas.middle_mm) - base
            length = float(inward.norm().clamp_min(1.0))
            apex = base + inward * chance.uniform(0.5, 0.8)
            axis = -inward / length
            away = [canvas.axis(a) - float(apex[a]) for a in range(3)]
            along = away[0] * float(axis[0]) + away[1] * float(axis[1]) + away[2] * float(axis[2])
            opening = along / canvas.distance(apex).clamp_min(1.0)
            ragged = canvas.fractal(12.0, 2)
            wedge = torch.sigmoid(
                (opening - math.cos(math.radians(chance.uniform(*self.angle_deg)))).add_(ragged, alpha=0.08)
                * 18
            )
            near = chance.uniform(*self.radius_mm) - canvas.distance(base).add_(ragged, alpha=2.5)
            # a vessel feeds one side
            side = (canvas.axis(0) - canvas.middle_mm[0]) * (
                1.0 if float(base[0]) > canvas.middle_mm[0] else -1.0
            )
            extent = wedge * torch.sigmoid(near / 1.5) * torch.sigmoid(side)
        extent = extent.mul_(room).mul_(1.0 - glioma.extent)
        acute = chance.happens(self.acute)
        enhancement = None
        if chance.happens(self.enhancing):
            enhancement = extent * tissues[T.CORTEX] * torch.sigmoid(canvas.smooth(8.0) * 3)
        return OtherLesion(extent, enhancement, "stroke", acute)


@dataclass(frozen=True, kw_only=True)
class MultipleSclerosis(Transform):
    """Plaques: many, oval, most of them at the ventricles with their long axis away from these (Dawson's fingers).

    Parameters
    ----------
    count
        Plaques in one brain.
    radius_mm
        Short radius; the long one is up to two and a half times that.
    periventricular
        Share of the plaques at the ventricles.
    enhancing
        Probability that one enhances, as a nodule or an open ring.
    """

    probability: float = 0.03
    count: Count = (4, 30)
    radius_mm: Range = (1.5, 5.0)
    periventricular: float = 0.65
    enhancing: float = 0.12

    def draw(self, canvas: Canvas, glioma: Glioma) -> OtherLesion:
        """The plaques of one brain, not where the glioma is."""
        chance, tissues = canvas.chance, glioma.tissues
        coarse, factor = canvas.coarser(3.0)
        white = torch.nn.functional.avg_pool3d(tissues[T.WHITE_MATTER][None, None], factor)[0, 0]
        fluid = torch.nn.functional.avg_pool3d(tissues[T.VENTRICLE][None, None], factor)[0, 0]
        near = coarse.blur(fluid, 5.0)
        extent = canvas.zeros()
        enhancement: torch.Tensor | None = None
        for _ in range(chance.between(*self.count)):
            close = chance.happens(self.periventricular)
            center = coarse.place(white * (near + 1e-4) if close else white, scatter_mm=1.0)
            radius = chance.uniform(*self.radius_mm)
            outward = center - torch.tensor(canvas.middle_mm) if close else chance.direction()
            outward = outward / outward.norm().clamp_min(1e-3)
            stretch = chance.uniform(0.4, 1.0)
            matrix = torch.eye(3) - (1.0 - stretch) * torch.outer(outward, outward)
            reach = radius / stretch + 3.0
            box = canvas.box_around(center - reach, center + reach)
            part = canvas.window(box)
            distance = part.distance(center, matrix).sub_(radius)
            plaque = torch.sigmoid(-distance / 0.5)
            extent[box] = torch.maximum(extent[box], plaque)
            if chance.happens(self.enhancing):
                ring = plaque if chance.happens(0.5) else torch.sigmoid((distance + 1.5) / 0.4) * plaque
                if enhancement is None:
                    enhancement = canvas.zeros()
                enhancement[box] = torch.maximum(enhancement[box], ring)
        room = (1.0 - glioma.extent) * glioma.brain
        room.mul_(
            (1.0 - tissues[T.SULCAL_CSF] - tissues[T.VENTRICLE] - tissues[T.CHOROID_PLEXUS]).clamp_(0, 1)
        )
        return OtherLesion(
            extent.mul_(room), None if enhancement is None else enhancement.mul_(room), "multiple-sclerosis"
        )
