"""What resembles a glioma and is none: lesions of age, vessels, meninges, cysts, and leftovers of the skull."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.tissue import HeadTissue as T
from magpie_core.synthesis.transform import Range, Transform

if TYPE_CHECKING:
    from magpie_core.synthesis.glioma import Glioma


@dataclass(frozen=True, kw_only=True)
class WhiteMatterLesions(Transform):
    """Lesions of age: those of the label map, caps and bands at the ventricles, dots (Fazekas 1 to 3).

    Parameters
    ----------
    own
        Probability that those of the label map show in full rather than faintly.
    caps, caps_mm, caps_level
        Probability of caps at the ventricles, how far they reach, and the level of the blurred ventricles they end at.
    dots, dots_mm, dots_level
        Probability of dots, their size, and how rare they are (in deviations of a random field).
    """

    own: float = 0.7
    caps: float = 0.5
    caps_mm: Range = (2.0, 6.0)
    caps_level: Range = (0.08, 0.35)
    dots: float = 0.45
    dots_mm: Range = (5.0, 10.0)
    dots_level: Range = (2.0, 3.4)

    def draw(self, canvas: Canvas, glioma: Glioma) -> torch.Tensor:
        """(D, H, W) in [0, 1], not where the glioma is."""
        chance, tissues = canvas.chance, glioma.tissues
        white = tissues[T.WHITE_MATTER]
        if not chance.happens(self.probability):
            return canvas.zeros()
        lesions = tissues[T.WHITE_MATTER_LESION] * (1.0 if chance.happens(self.own) else 0.3)
        if chance.happens(self.caps):
            near = canvas.blur(tissues[T.VENTRICLE], chance.uniform(*self.caps_mm))
            near = (near - chance.uniform(*self.caps_level)) * (30 * chance.uniform(0.5, 1.0))
            near = torch.sigmoid(near + canvas.smooth(6.0) * 0.8)
            lesions = torch.maximum(lesions, white * near * chance.uniform(0.3, 1.0))
        if chance.happens(self.dots):
            spots = canvas.fractal(chance.uniform(*self.dots_mm), 2) - chance.uniform(*self.dots_level)
            lesions = torch.maximum(lesions, white * torch.sigmoid(spots * 7) * chance.uniform(0.5, 1.0))
        return lesions * (1.0 - glioma.extent)


@dataclass(frozen=True, kw_only=True)
class Vessels(Transform):
    """Arteries and veins: where two smooth fields cross zero together, which is along curves.

    Parameters
    ----------
    arteries, veins
        Probability of each set; arteries run through fluid and cortex, veins over the surface.
    apart_mm, width
        Distance between vessels, and their width relative to it.
    """

    arteries: float = 0.85
    veins: float = 0.7
    apart_mm: Range = (14.0, 22.0)
    width: Range = (0.09, 0.16)

    def draw(self, canvas: Canvas, glioma: Glioma) -> torch.Tensor:
        """(D, H, W) in [0, 1]."""
        chance, tissues = canvas.chance, glioma.tissues
        vessels = canvas.zeros()
        if not chance.happens(self.probability):
            return vessels
        if chance.happens(self.arteries):
            room = tissues[T.SULCAL_CSF] + tissues[T.VENTRICLE]
            room.add_(tissues[T.CORTEX], alpha=0.55).add_(tissues[T.WHITE_MATTER], alpha=0.12).clamp_(0, 1)
            vessels = self._tubes(canvas).mul_(room)
        if chance.happens(self.veins):
            room = (tissues[T.SULCAL_CSF] + 0.4 * tissues[T.CORTEX]).clamp_(0, 1)
            vessels = torch.maximum(vessels, self._tubes(canvas).mul_(room))
        return vessels

    def _tubes(self, canvas: Canvas) -> torch.Tensor:
        chance = canvas.chance
        first = canvas.fractal(chance.uniform(*self.apart_mm), 2, 0.35)
        second = canvas.fractal(chance.uniform(*self.apart_mm), 2, 0.35)
        width = chance.uniform(*self.width)
        return first.square_().add_(second.square_()).mul_(-0.5 / width**2).exp_()


@dataclass(frozen=True, kw_only=True)
class Meninges(Transform):
    """Dura, falx, tentorium, sagittal sinus and the patches at the skull's base that take up contrast medium.

    Parameters
    ----------
    dura_mm, dura_patches_mm
        Depth of the outer layer, and the size of the patches that enhance.
    skull_base
        Probability of patches at the base.
    skull_base_mm, sinus_mm
        Thickness of that layer; width of the sinus.
    """

    dura_mm: Range = (1.2, 2.4)
    dura_patches_mm: Range = (10.0, 25.0)
    skull_base: float = 0.65
    skull_base_mm: Range = (2.5, 4.5)
    sinus_mm: Range = (2.5, 5.0)


@dataclass(frozen=True, kw_only=True)
class ChoroidPlexus(Transform):
    """Enhancing tufts in the ventricles, beside the label map's own; `level` says how rare (deviations of a field)."""

    probability: float = 0.6
    level: Range = (1.6, 2.6)

    def draw(self, canvas: Canvas, glioma: Glioma) -> torch.Tensor:
        """(D, H, W) in [0, 1]."""
        chance, tissues = canvas.chance, glioma.tissues
        plexus = tissues[T.CHOROID_PLEXUS]
        if chance.happens(self.probability):
            tufts = torch.sigmoid((canvas.fractal(6.0, 2) - chance.uniform(*self.level)) * 5)
            plexus = (plexus + tissues[T.VENTRICLE] * tufts).clamp_(0, 1)
        return plexus


@dataclass(frozen=True, kw_only=True)
class Cyst(Transform):
    """An arachnoid or other simple cyst, away from the tumor."""

    probability: float = 0.06
    radius_mm: Range = (4.0, 14.0)

    def draw(self, canvas: Canvas, glioma: Glioma) -> torch.Tensor | None:
        """(D, H, W) in [0, 1]."""
        chance = canvas.chance
        if not chance.happens(self.probability):
            return None
        center = canvas.place(glioma.brain.float())
        distance = canvas.distance(center).add_(canvas.smooth(8.0), alpha=canvas.spacing_mm)
        inside = torch.sigmoid((chance.uniform(*self.radius_mm) - distance) * (2 / canvas.spacing_mm))
        return inside * glioma.brain * (1.0 - glioma.extent)


@dataclass(frozen=True, kw_only=True)
class ResidualSkull(Transform):
    """Patches that skull stripping has left outside of the brain, at its base (eyes, muscle, dura)."""

    probability: float = 0.5
    reach_mm: Range = (2.5, 4.0)
    patches_mm: Range = (8.0, 16.0)

    def draw(self, canvas: Canvas, brain: torch.Tensor, low: torch.Tensor) -> torch.Tensor | None:
        """(D, H, W) in [0, 1], of the brain and how low each voxel lies, both in [0, 1]."""
        chance = canvas.chance
        if not chance.happens(self.probability):
            return None
        near = canvas.blur(brain, chance.uniform(*self.reach_mm)) > 0.07
        patches = canvas.smooth(chance.uniform(*self.patches_mm)) > chance.uniform(0.0, 1.2)
        return canvas.blur((near & (brain < 0.5) & (low > 0.4) & patches).float(), 0.5 * canvas.spacing_mm)


@dataclass
class Mimics:
    """Soft maps (D, H, W) in [0, 1]; None where a rendering has none of it.

    Parameters
    ----------
    white_matter_lesions
        Caps, bands and dots, bright on T2 and FLAIR.
    vessels, dura, tentorium, sagittal_sinus, skull_base, falx, choroid_plexus
        Bright on T1 with contrast.
    shell
        The outermost layer of the brain mask.
    cyst
        Filled with fluid.
    leftovers
        What skull stripping has left outside of the brain.
    """

    white_matter_lesions: torch.Tensor
    vessels: torch.Tensor
    dura: torch.Tensor
    tentorium: torch.Tensor
    sagittal_sinus: torch.Tensor
    skull_base: torch.Tensor | None
    falx: torch.Tensor
    choroid_plexus: torch.Tensor
    shell: torch.Tensor
    cyst: torch.Tensor | None
    leftovers: torch.Tensor | None

    def enhancing(self) -> list[tuple[torch.Tensor | None, Range, Range]]:
        """Maps that are bright on T1 with contrast: their level relative to white matter, and how much of it shows."""
        return [
            (self.vessels, (1.05, 2.1), (0.2, 1.0)),
            (self.dura, (0.9, 2.0), (0.0, 0.9)),
            (self.tentorium, (1.1, 2.2), (0.0, 1.0)),
            (self.sagittal_sinus, (1.2, 2.4), (0.0, 1.0)),
            (self.skull_base, (1.1, 2.5), (0.3, 1.0)),
            (self.falx, (0.9, 1.5), (0.0, 0.8)),
            (self.choroid_plexus, (0.9, 1.9), (0.3, 1.0)),
        ]


def add_mimics(
    canvas: Canvas,
    glioma: Glioma,
    *,
    white_matter_lesions: WhiteMatterLesions,
    vessels: Vessels,
    meninges: Meninges,
    choroid_plexus: ChoroidPlexus,
    cyst: Cyst,
    leftovers: ResidualSkull,
) -> Mimics:
    """Draw the look-alikes of one rendering."""
    chance, tissues = canvas.chance, glioma.tissues
    brain = glioma.brain.float()
    height = canvas.axis(2) - _center_mm(canvas, glioma.brain, 2)
    across = canvas.axis(0) - _center_mm(canvas, glioma.brain, 0) - chance.normal(0.0, canvas.spacing_mm)
    there = 1.0 if chance.happens(meninges.probability) else 0.0

    shell = _shell(canvas, brain, meninges.dura_mm, 2.2)
    patches = canvas.smooth(chance.uniform(*meninges.dura_patches_mm)) - chance.uniform(-0.5, 1.5)
    dura = torch.sigmoid(patches.mul_(4)).mul_(shell).mul_(there)
    low = torch.sigmoid((chance.uniform(-38.0, -8.0) - height) / 4)
    base = None
    if there and chance.happens(meninges.skull_base):
        patches = canvas.smooth(chance.uniform(9.0, 18.0)) - chance.uniform(-0.6, 1.2)
        base = (
            torch.sigmoid(patches.mul_(5)).mul_(_shell(canvas, brain, meninges.skull_base_mm, 2.0)).mul_(low)
        )
    sinus = torch.exp(-0.5 * (across / chance.uniform(*meninges.sinus_mm)) ** 2) * (height > -20)
    falx = torch.exp(-0.5 * (across / 1.6) ** 2) * chance.uniform(0.0, 1.0)
    return Mimics(
        white_matter_lesions=white_matter_lesions.draw(canvas, glioma),
        vessels=vessels.draw(canvas, glioma),
        dura=dura,
        tentorium=_tentorium(canvas, tissues, shell).mul_(there),
        sagittal_sinus=shell * (sinus * there),
        skull_base=base,
        falx=tissues[T.SULCAL_CSF] * (falx * there),
        choroid_plexus=choroid_plexus.draw(canvas, glioma),
        shell=shell,
        cyst=cyst.draw(canvas, glioma),
        leftovers=leftovers.draw(canvas, brain, low),
    )


def _center_mm(canvas: Canvas, brain: torch.Tensor, axis: int) -> float:
    profile = brain.sum([other for other in range(3) if other != axis]).float()
    position = canvas.axis(axis).flatten()
    return float((profile * position).sum() / profile.sum().clamp_min(1.0))


def _shell(canvas: Canvas, brain: torch.Tensor, depth_mm: Range, gain: float) -> torch.Tensor:
    outside = canvas.blur(1.0 - brain, canvas.chance.uniform(*depth_mm))
    return outside.mul_(brain).mul_(gain).clamp_(0, 1)


def _tentorium(canvas: Canvas, tissues: torch.Tensor, shell: torch.Tensor) -> torch.Tensor:
    """Between cerebrum and cerebellum."""
    below = canvas.blur(tissues[T.CEREBELLAR_CORTEX] + tissues[T.CEREBELLAR_WHITE_MATTER], 2.5)
    above = canvas.blur(tissues[T.CORTEX] + tissues[T.WHITE_MATTER], 2.5)
    patches = torch.sigmoid(canvas.smooth(14.0).mul_(3).add_(canvas.chance.uniform(-2.0, 1.5)))
    room = (tissues[T.SULCAL_CSF] + 0.4 * shell).clamp_(0, 1)
    return below.mul_(above).mul_(4).clamp_(0, 1).mul_(room).mul_(patches)
