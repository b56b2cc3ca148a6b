"""Mimics of glioma: age-related lesions, vessels, meninges, choroid plexus, cysts and residual skull."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.glioma import Glioma
from magpie_core.synthesis.tissue import HeadTissue as T
from magpie_core.synthesis.transform import Range, Transform


@dataclass(frozen=True, kw_only=True)
class WhiteMatterLesions(Transform):
    """Age-related lesions: those of the label map, periventricular caps and bands, dots (Fazekas 1 to 3).

    Args:
        from_label_map: Probability that those of the label map have full rather than faint contrast.
        caps, caps_mm, caps_level: Probability of caps at the ventricles, the blur of the ventricle map, and its level
            where they end.
        dots, dots_mm, dots_level: Probability of dots, their size, and the threshold in deviations of a random field.
    """

    from_label_map: float = 0.7
    caps: float = 0.5
    caps_mm: Range = (2.0, 6.0)
    caps_level: Range = (0.08, 0.35)
    dots: float = 0.45
    dots_mm: Range = (5.0, 10.0)
    dots_level: Range = (2.0, 3.4)

    def draw(self, canvas: Canvas, glioma: Glioma) -> torch.Tensor:
        """Draw a map (D, H, W) in [0, 1], outside the glioma."""
        rng, tissues = canvas.rng, glioma.tissues
        white = tissues[T.WHITE_MATTER]
        if not rng.bernoulli(self.probability):
            return canvas.zeros()
        lesions = tissues[T.WHITE_MATTER_LESION] * (1.0 if rng.bernoulli(self.from_label_map) else 0.3)
        if rng.bernoulli(self.caps):
            near = canvas.blur(tissues[T.VENTRICLE], rng.uniform(*self.caps_mm))
            near = (near - rng.uniform(*self.caps_level)) * (30 * rng.uniform(0.5, 1.0))
            near = torch.sigmoid(near + canvas.smooth_noise(6.0) * 0.8)
            lesions = torch.maximum(lesions, white * near * rng.uniform(0.3, 1.0))
        if rng.bernoulli(self.dots):
            spots = canvas.fractal_noise(rng.uniform(*self.dots_mm), 2) - rng.uniform(*self.dots_level)
            lesions = torch.maximum(lesions, white * torch.sigmoid(spots * 7) * rng.uniform(0.5, 1.0))
        return lesions * (1.0 - glioma.extent)


@dataclass(frozen=True, kw_only=True)
class Vessels(Transform):
    """Arteries and veins: curves along which two smooth fields are zero.

    Args:
        arteries, veins: Probability of each; arteries run through fluid and cortex, veins over the surface.
        apart_mm, width: Distance between vessels, and their width relative to it.
    """

    arteries: float = 0.85
    veins: float = 0.7
    apart_mm: Range = (14.0, 22.0)
    width: Range = (0.09, 0.16)

    def draw(self, canvas: Canvas, glioma: Glioma) -> torch.Tensor:
        """Draw a map (D, H, W) in [0, 1]."""
        rng, tissues = canvas.rng, glioma.tissues
        vessels = canvas.zeros()
        if not rng.bernoulli(self.probability):
            return vessels
        if rng.bernoulli(self.arteries):
            allowed = tissues[T.SULCAL_CSF] + tissues[T.VENTRICLE]
            allowed.add_(tissues[T.CORTEX], alpha=0.55).add_(tissues[T.WHITE_MATTER], alpha=0.12).clamp_(0, 1)
            vessels = self._tubes(canvas).mul_(allowed)
        if rng.bernoulli(self.veins):
            allowed = (tissues[T.SULCAL_CSF] + 0.4 * tissues[T.CORTEX]).clamp_(0, 1)
            vessels = torch.maximum(vessels, self._tubes(canvas).mul_(allowed))
        return vessels

    def _tubes(self, canvas: Canvas) -> torch.Tensor:
        rng = canvas.rng
        first = canvas.fractal_noise(rng.uniform(*self.apart_mm), 2, 0.35)
        second = canvas.fractal_noise(rng.uniform(*self.apart_mm), 2, 0.35)
        width = rng.uniform(*self.width)
        return first.square_().add_(second.square_()).mul_(-0.5 / width**2).exp_()


@dataclass(frozen=True, kw_only=True)
class Meninges(Transform):
    """Enhancing dura, falx, tentorium, sagittal sinus and patches at the skull base.

    Args:
        dura_mm, dura_patches_mm: Depth of the outer layer, and the size of its enhancing patches.
        skull_base: Probability of patches at the skull base.
        skull_base_mm, sinus_mm: Thickness of that layer; width of the sinus.
    """

    dura_mm: Range = (1.2, 2.4)
    dura_patches_mm: Range = (10.0, 25.0)
    skull_base: float = 0.65
    skull_base_mm: Range = (2.5, 4.5)
    sinus_mm: Range = (2.5, 5.0)


@dataclass(frozen=True, kw_only=True)
class ChoroidPlexus(Transform):
    """Enhancing tufts in the ventricles, where a random field exceeds `level` (in deviations)."""

    probability: float = 0.6
    level: Range = (1.6, 2.6)

    def draw(self, canvas: Canvas, glioma: Glioma) -> torch.Tensor:
        """Draw a map (D, H, W) in [0, 1]."""
        rng, tissues = canvas.rng, glioma.tissues
        plexus = tissues[T.CHOROID_PLEXUS]
        if rng.bernoulli(self.probability):
            tufts = torch.sigmoid((canvas.fractal_noise(6.0, 2) - rng.uniform(*self.level)) * 5)
            plexus = (plexus + tissues[T.VENTRICLE] * tufts).clamp_(0, 1)
        return plexus


@dataclass(frozen=True, kw_only=True)
class Cyst(Transform):
    """An arachnoid or other simple cyst, away from the tumor."""

    probability: float = 0.06
    radius_mm: Range = (4.0, 14.0)

    def draw(self, canvas: Canvas, glioma: Glioma) -> torch.Tensor | None:
        """Draw a map (D, H, W) in [0, 1]."""
        rng = canvas.rng
        if not rng.bernoulli(self.probability):
            return None
        center = canvas.draw_point(glioma.brain.float())
        distance = canvas.distance(center).add_(canvas.smooth_noise(8.0), alpha=canvas.spacing_mm)
        inside = torch.sigmoid((rng.uniform(*self.radius_mm) - distance) * (2 / canvas.spacing_mm))
        return inside * glioma.brain * (1.0 - glioma.extent)


@dataclass(frozen=True, kw_only=True)
class ResidualSkull(Transform):
    """Patches left outside the brain by skull stripping, at its base (eyes, muscle, dura)."""

    probability: float = 0.5
    reach_mm: Range = (2.5, 4.0)
    patches_mm: Range = (8.0, 16.0)

    def draw(self, canvas: Canvas, brain: torch.Tensor, low: torch.Tensor) -> torch.Tensor | None:
        """Draw a map (D, H, W) in [0, 1], given the brain and the weight of the skull base, both in [0, 1]."""
        rng = canvas.rng
        if not rng.bernoulli(self.probability):
            return None
        near = canvas.blur(brain, rng.uniform(*self.reach_mm)) > 0.07
        patches = canvas.smooth_noise(rng.uniform(*self.patches_mm)) > rng.uniform(0.0, 1.2)
        return canvas.blur((near & (brain < 0.5) & (low > 0.4) & patches).float(), 0.5 * canvas.spacing_mm)


@dataclass(frozen=True, kw_only=True)
class MimicTransforms:
    """Transforms that draw mimics."""

    white_matter_lesions: WhiteMatterLesions = WhiteMatterLesions()
    vessels: Vessels = Vessels()
    meninges: Meninges = Meninges()
    choroid_plexus: ChoroidPlexus = ChoroidPlexus()
    cyst: Cyst = Cyst()
    residual_skull: ResidualSkull = ResidualSkull()


class Mimics:
    """The mimics of one rendering: maps (D, H, W) in [0, 1]; None for what it lacks.

    Attributes:
        white_matter_lesions: Caps, bands and dots, bright on T2 and FLAIR.
        vessels: Arteries and veins.
        shell: The outermost layer of the brain mask.
        cyst: Filled with cerebrospinal fluid.
        residual_skull: Left outside the brain by skull stripping.
        enhancing: Maps that are bright on T1CE, each with its level relative to white matter and its opacity.
    """

    def __init__(self, canvas: Canvas, glioma: Glioma, transforms: MimicTransforms) -> None:
        meninges = transforms.meninges
        rng, tissues = canvas.rng, glioma.tissues
        brain = glioma.brain.float()
        height = canvas.axis(2) - _center_mm(canvas, glioma.brain, 2)
        across = canvas.axis(0) - _center_mm(canvas, glioma.brain, 0) - rng.normal(0.0, canvas.spacing_mm)
        shown = 1.0 if rng.bernoulli(meninges.probability) else 0.0

        self.shell = _shell(canvas, brain, meninges.dura_mm, 2.2)
        patches = canvas.smooth_noise(rng.uniform(*meninges.dura_patches_mm)) - rng.uniform(-0.5, 1.5)
        dura = torch.sigmoid(patches.mul_(4)).mul_(self.shell).mul_(shown)
        low = torch.sigmoid((rng.uniform(-38.0, -8.0) - height) / 4)
        base = None
        if shown and rng.bernoulli(meninges.skull_base):
            patches = canvas.smooth_noise(rng.uniform(9.0, 18.0)) - rng.uniform(-0.6, 1.2)
            base = torch.sigmoid(patches.mul_(5)).mul_(_shell(canvas, brain, meninges.skull_base_mm, 2.0)).mul_(low)
        sinus = torch.exp(-0.5 * (across / rng.uniform(*meninges.sinus_mm)) ** 2) * (height > -20)
        falx = torch.exp(-0.5 * (across / 1.6) ** 2) * rng.uniform(0.0, 1.0)
        self.white_matter_lesions = transforms.white_matter_lesions.draw(canvas, glioma)
        self.vessels = transforms.vessels.draw(canvas, glioma)
        tentorium = _tentorium(canvas, tissues, self.shell).mul_(shown)
        choroid_plexus = transforms.choroid_plexus.draw(canvas, glioma)
        self.cyst = transforms.cyst.draw(canvas, glioma)
        self.residual_skull = transforms.residual_skull.draw(canvas, brain, low)
        self.enhancing: list[tuple[torch.Tensor | None, Range, Range]] = [
            (self.vessels, (1.05, 2.1), (0.2, 1.0)),
            (dura, (0.9, 2.0), (0.0, 0.9)),
            (tentorium, (1.1, 2.2), (0.0, 1.0)),
            (self.shell * (sinus * shown), (1.2, 2.4), (0.0, 1.0)),
            (base, (1.1, 2.5), (0.3, 1.0)),
            (tissues[T.SULCAL_CSF] * (falx * shown), (0.9, 1.5), (0.0, 0.8)),
            (choroid_plexus, (0.9, 1.9), (0.3, 1.0)),
        ]


def _center_mm(canvas: Canvas, brain: torch.Tensor, axis: int) -> float:
    profile = brain.sum([other for other in range(3) if other != axis]).float()
    position = canvas.axis(axis).flatten()
    return float((profile * position).sum() / profile.sum().clamp_min(1.0))


def _shell(canvas: Canvas, brain: torch.Tensor, depth_mm: Range, gain: float) -> torch.Tensor:
    outside = canvas.blur(1.0 - brain, canvas.rng.uniform(*depth_mm))
    return outside.mul_(brain).mul_(gain).clamp_(0, 1)


def _tentorium(canvas: Canvas, tissues: torch.Tensor, shell: torch.Tensor) -> torch.Tensor:
    """Draw the tentorium, between cerebrum and cerebellum."""
    below = canvas.blur(tissues[T.CEREBELLAR_CORTEX] + tissues[T.CEREBELLAR_WHITE_MATTER], 2.5)
    above = canvas.blur(tissues[T.CORTEX] + tissues[T.WHITE_MATTER], 2.5)
    patches = torch.sigmoid(canvas.smooth_noise(14.0).mul_(3).add_(canvas.rng.uniform(-2.0, 1.5)))
    allowed = (tissues[T.SULCAL_CSF] + 0.4 * shell).clamp_(0, 1)
    return below.mul_(above).mul_(4).clamp_(0, 1).mul_(allowed).mul_(patches)
