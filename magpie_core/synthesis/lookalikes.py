"""What resembles a glioma and is none: lesions of age, vessels, meninges, cysts, and leftovers of the skull."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.glioma import Glioma
from magpie_core.synthesis.tissue import HeadTissue as T


@dataclass
class Lookalikes:
    """Soft maps (D, H, W) in [0, 1]; none of them is labelled.

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
    skull_base: torch.Tensor
    falx: torch.Tensor
    choroid_plexus: torch.Tensor
    shell: torch.Tensor
    cyst: torch.Tensor
    leftovers: torch.Tensor | None


def add_lookalikes(
    canvas: Canvas,
    glioma: Glioma,
    *,
    veins: float = 0.7,
    arteries: float = 0.85,
    skull_base: float = 0.65,
    leftovers: float = 0.5,
    cyst: float = 0.06,
) -> Lookalikes:
    """Draw the look-alikes of one rendering; the numbers are the probabilities of those that are not always there."""
    chance, tissues = canvas.chance, glioma.tissues
    brain = glioma.brain.float()
    height = canvas.axis(2) - _centre_mm(canvas, glioma.brain, 2)
    across = canvas.axis(0) - _centre_mm(canvas, glioma.brain, 0) - chance.normal(0.0, canvas.spacing_mm)
    fluid = tissues[T.SULCAL_CSF] + tissues[T.VENTRICLE]

    vessels = canvas.zeros()
    if chance.happens(arteries):
        room = (fluid + 0.55 * tissues[T.CORTEX] + 0.12 * tissues[T.WHITE_MATTER]).clamp_(0, 1)
        vessels = _tubes(canvas).mul_(room)
    if chance.happens(veins):
        room = (tissues[T.SULCAL_CSF] + 0.4 * tissues[T.CORTEX]).clamp_(0, 1)
        vessels = torch.maximum(vessels, _tubes(canvas).mul_(room))

    shell = _shell(canvas, brain, (1.2, 2.4), 2.2)
    dura = shell * torch.sigmoid((canvas.smooth(chance.uniform(10.0, 25.0)) - chance.uniform(-0.5, 1.5)) * 4)
    low = torch.sigmoid((chance.uniform(-38.0, -8.0) - height) / 4)
    base = canvas.zeros()
    if chance.happens(skull_base):
        patches = canvas.smooth(chance.uniform(9.0, 18.0)) - chance.uniform(-0.6, 1.2)
        base = _shell(canvas, brain, (2.5, 4.5), 2.0) * low * torch.sigmoid(patches * 5)
    plexus = tissues[T.CHOROID_PLEXUS]
    if chance.happens(0.6):
        tufts = torch.sigmoid((canvas.fractal(6.0, 2) - chance.uniform(1.6, 2.6)) * 5)
        plexus = (plexus + tissues[T.VENTRICLE] * tufts).clamp_(0, 1)
    return Lookalikes(
        white_matter_lesions=_white_matter_lesions(canvas, glioma),
        vessels=vessels,
        dura=dura,
        tentorium=_tentorium(canvas, tissues, shell),
        sagittal_sinus=torch.exp(-0.5 * (across / chance.uniform(2.5, 5.0)) ** 2) * shell * (height > -20),
        skull_base=base,
        falx=torch.exp(-0.5 * (across / 1.6) ** 2) * tissues[T.SULCAL_CSF] * chance.uniform(0.0, 1.0),
        choroid_plexus=plexus,
        shell=shell,
        cyst=_cyst(canvas, glioma) if chance.happens(cyst) else canvas.zeros(),
        leftovers=_leftovers(canvas, brain, low) if chance.happens(leftovers) else None,
    )


def _centre_mm(canvas: Canvas, brain: torch.Tensor, axis: int) -> float:
    profile = brain.sum([other for other in range(3) if other != axis]).float()
    position = canvas.axis(axis).flatten()
    return float((profile * position).sum() / profile.sum().clamp_min(1.0))


def _tubes(canvas: Canvas) -> torch.Tensor:
    """Vessels: where two smooth fields cross zero together, which is along curves."""
    chance = canvas.chance
    first = canvas.fractal(chance.uniform(14.0, 22.0), 2, 0.35)
    second = canvas.fractal(chance.uniform(14.0, 22.0), 2, 0.35)
    width = chance.uniform(0.09, 0.16)
    return first.square_().add_(second.square_()).mul_(-0.5 / width**2).exp_()


def _shell(canvas: Canvas, brain: torch.Tensor, depth_mm: tuple[float, float], gain: float) -> torch.Tensor:
    outside = canvas.blur(1.0 - brain, canvas.chance.uniform(*depth_mm))
    return (brain * outside * gain).clamp_(0, 1)


def _tentorium(canvas: Canvas, tissues: torch.Tensor, shell: torch.Tensor) -> torch.Tensor:
    below = canvas.blur(tissues[T.CEREBELLAR_CORTEX] + tissues[T.CEREBELLAR_WHITE_MATTER], 2.5)
    above = canvas.blur(tissues[T.CORTEX] + tissues[T.WHITE_MATTER], 2.5)
    patches = torch.sigmoid(canvas.smooth(14.0) * 3 + canvas.chance.uniform(-2.0, 1.5))
    return (below * above * 4).clamp_(0, 1) * (tissues[T.SULCAL_CSF] + 0.4 * shell).clamp_(0, 1) * patches


def _white_matter_lesions(
    canvas: Canvas, glioma: Glioma, *, caps: float = 0.5, dots: float = 0.45, full: float = 0.7
) -> torch.Tensor:
    chance, tissues = canvas.chance, glioma.tissues
    white = tissues[T.WHITE_MATTER]
    lesions = tissues[T.WHITE_MATTER_LESION] * (1.0 if chance.happens(full) else 0.3)
    if chance.happens(caps):
        near = canvas.blur(tissues[T.VENTRICLE], chance.uniform(2.0, 6.0)) - chance.uniform(0.08, 0.35)
        near = torch.sigmoid(near * (30 * chance.uniform(0.5, 1.0)) + canvas.smooth(6.0) * 0.8)
        lesions = torch.maximum(lesions, white * near * chance.uniform(0.3, 1.0))
    if chance.happens(dots):
        spots = torch.sigmoid((canvas.fractal(chance.uniform(5.0, 10.0), 2) - chance.uniform(2.0, 3.4)) * 7)
        lesions = torch.maximum(lesions, white * spots * chance.uniform(0.5, 1.0))
    return lesions * (1.0 - (glioma.core.extent + glioma.edema).clamp(0, 1))


def _cyst(canvas: Canvas, glioma: Glioma, *, radius_mm: tuple[float, float] = (4.0, 14.0)) -> torch.Tensor:
    chance = canvas.chance
    centre = canvas.place(glioma.brain.float())
    distance = (canvas.points - centre).norm(dim=-1) + canvas.spacing_mm * canvas.smooth(8.0)
    inside = torch.sigmoid((chance.uniform(*radius_mm) - distance) * (2 / canvas.spacing_mm))
    return inside * glioma.brain * (1.0 - (glioma.core.extent + glioma.edema).clamp(0, 1))


def _leftovers(canvas: Canvas, brain: torch.Tensor, low: torch.Tensor) -> torch.Tensor:
    """Patches just outside of the brain, at its base."""
    chance = canvas.chance
    near = canvas.blur(brain, chance.uniform(2.5, 4.0)) > 0.07
    patches = canvas.smooth(chance.uniform(8.0, 16.0)) > chance.uniform(0.0, 1.2)
    return canvas.blur((near & (brain < 0.5) & (low > 0.4) & patches).float(), 0.5 * canvas.spacing_mm)
