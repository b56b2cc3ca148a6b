"""From a brain with a glioma to four images."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from magpie_core.synthesis.acquisition import acquire, gamma, imperfect_mask
from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.glioma import Glioma
from magpie_core.synthesis.glioma_recipe import GliomaKind
from magpie_core.synthesis.lesion_contrast import LesionLevels, LesionLook, draw_lesion_levels
from magpie_core.synthesis.lookalikes import Lookalikes, add_lookalikes
from magpie_core.synthesis.tissue import HeadTissue as T
from magpie_core.synthesis.tissue_contrast import TissueLevels, draw_tissue_levels

SEQUENCES = ("T1", "T1CE", "T2", "FLAIR")


@dataclass
class _Scene:
    """What the sequences of one rendering have in common."""

    canvas: Canvas
    glioma: Glioma
    lookalikes: Lookalikes
    look: LesionLook
    tissue_texture: torch.Tensor
    core_texture: torch.Tensor
    rim_texture: torch.Tensor
    blood: torch.Tensor | None
    opacity: torch.Tensor
    core_opacity: torch.Tensor | None


def render(canvas: Canvas, glioma: Glioma, *, whole_head: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Image a glioma once: T1, T1CE, T2, FLAIR.

    Returns
    -------
    images
        (4, D, H, W) positive intensities on an arbitrary scale, 0 outside the mask unless of the whole head.
    mask
        (D, H, W) bool, an imperfect brain mask; of a whole head the true one.
    """
    chance = canvas.chance
    recipe = glioma.recipe
    look = LesionLook.draw(chance, recipe)
    fading = chance.uniform(0.0, 0.75) if not look.faint and chance.happens(0.6) else 0.0
    blood = None
    if chance.happens(recipe.haemorrhage):
        clots = canvas.fractal(chance.uniform(5.0, 10.0), 2) - chance.uniform(1.2, 2.5)
        blood = torch.sigmoid(clots * 4) * glioma.core.extent
    scene = _Scene(
        canvas=canvas,
        glioma=glioma,
        lookalikes=add_lookalikes(canvas, glioma),
        look=look,
        tissue_texture=canvas.fractal(chance.uniform(4.0, 8.0), 2),
        core_texture=canvas.fractal(chance.uniform(4.0, 14.0), 3, 0.6),
        rim_texture=canvas.fractal(chance.uniform(3.0, 7.0), 2, 0.7),
        blood=blood,
        opacity=_opacity(canvas, (0.75, 1.0)).mul_(1.0 - fading * glioma.depth),
        core_opacity=_opacity(canvas, (0.6, 1.0)) if recipe.non_enhancing_look else None,
    )
    jitter = chance.uniform(0.6, 1.6)
    mask = imperfect_mask(canvas, glioma.brain, scene.lookalikes.leftovers)
    if whole_head:
        mask = glioma.brain
        fat = torch.sigmoid(canvas.fractal(chance.uniform(8.0, 20.0), 3) * 4) * glioma.tissues[T.SOFT_TISSUE]
    images, plain = torch.empty(len(SEQUENCES), *canvas.shape), None
    for channel, sequence in enumerate(SEQUENCES):
        tissues = draw_tissue_levels(chance, sequence, jitter=jitter, plain=plain)
        plain = tissues if sequence == "T1" else plain
        lesions = draw_lesion_levels(chance, sequence, tissues, scene.look)
        image = _paint_tissues(scene, tissues)
        image = _paint_lookalikes(scene, image, sequence, tissues, lesions)
        image = _paint_glioma(scene, image, sequence, tissues, lesions)
        if whole_head:
            image = image * (1.0 + fat * chance.uniform(-0.8, 2.0))
        else:
            image = _paint_leftovers(scene, image, sequence, tissues)
        image = acquire(canvas, image, level=tissues.white)
        if chance.happens(0.35):
            image = gamma(canvas, image, mask)
        image = image.clamp_min_(1e-4).mul_(chance.lognormal(400.0, 0.6))
        images[channel] = image if whole_head else image.mul_(mask)
    return images, mask


def _opacity(
    canvas: Canvas, level: tuple[float, float], *, patchy: float = 0.5, least: float = 0.15
) -> torch.Tensor:
    """How far (D, H, W) a lesion hides the tissue it grew in: all alike, or thinner in patches."""
    chance = canvas.chance
    opacity = canvas.zeros().add_(chance.uniform(*level))
    if chance.happens(patchy):
        patches = canvas.fractal(chance.uniform(10.0, 25.0), 2) - chance.uniform(-0.5, 1.5)
        opacity *= 1.0 - chance.uniform(0.2, 0.7) * torch.sigmoid(3.0 * patches)
    return opacity.clamp_min_(least)


def _paint_tissues(scene: _Scene, levels: TissueLevels) -> torch.Tensor:
    canvas, tissues = scene.canvas, scene.glioma.tissues
    chance = canvas.chance
    image = levels.paint(tissues)
    cerebellum = tissues[T.CEREBELLAR_CORTEX] + tissues[T.CEREBELLAR_WHITE_MATTER]
    image *= (cerebellum + 0.7 * tissues[T.BRAINSTEM]).mul_(chance.normal(0.0, 0.10)).add_(1.0)
    own = canvas.smooth(chance.uniform(3.0, 6.0)).mul_(chance.uniform(0.0, 0.03))
    return image.mul_(own.add_(scene.tissue_texture, alpha=chance.uniform(0.0, 0.035)).add_(1.0))


def _brighten(image: torch.Tensor, level: float, weight: torch.Tensor) -> torch.Tensor:
    """Move towards a level by weight, where that is brighter."""
    return image.add_((level - image).clamp_min_(0.0).mul_(weight.clamp(0, 1)))


def _paint_lookalikes(
    scene: _Scene, image: torch.Tensor, sequence: str, levels: TissueLevels, lesions: LesionLevels
) -> torch.Tensor:
    maps, canvas = scene.lookalikes, scene.canvas
    chance = canvas.chance
    change = (lesions.white_matter_lesion - image).mul_(maps.white_matter_lesions)
    image = image.add_(change, alpha=chance.uniform(0.5, 1.0))
    if sequence == "T1CE":
        for weight, brightness, share in (
            (maps.vessels, (1.05, 2.1), (0.2, 1.0)),
            (maps.dura, (0.9, 2.0), (0.0, 0.9)),
            (maps.tentorium, (1.1, 2.2), (0.0, 1.0)),
            (maps.sagittal_sinus, (1.2, 2.4), (0.0, 1.0)),
            (maps.skull_base, (1.1, 2.5), (0.3, 1.0)),
            (maps.falx, (0.9, 1.5), (0.0, 0.8)),
            (maps.choroid_plexus, (0.9, 1.9), (0.3, 1.0)),
        ):
            level = levels.white * chance.uniform(*brightness)
            image = _brighten(image, level, weight * chance.uniform(*share))
    elif sequence == "T2":
        if chance.happens(0.6):  # flow voids
            image = image * (1.0 - maps.vessels * chance.uniform(0.2, 0.8))
    elif sequence == "T1":
        if chance.happens(0.3):
            level = levels.white * chance.uniform(0.9, 1.3)
            image = _brighten(image, level, maps.vessels * chance.uniform(0.1, 0.6))
    else:
        image = _flair_artefacts(scene, image, levels)
    return image + (levels.fluid - image) * maps.cyst


def _flair_artefacts(scene: _Scene, image: torch.Tensor, levels: TissueLevels) -> torch.Tensor:
    """Fluid that is not suppressed where it flows, and a bright surface."""
    canvas, tissues = scene.canvas, scene.glioma.tissues
    chance = canvas.chance
    if chance.happens(0.35):
        fluid = tissues[T.SULCAL_CSF] + tissues[T.VENTRICLE]
        where = fluid * torch.sigmoid(canvas.smooth(18.0) * 3 - chance.uniform(1.0, 4.0))
        image = image + (levels.grey * chance.uniform(0.8, 1.6) - image) * where * chance.uniform(0.3, 1.0)
    if chance.happens(0.3):
        level = levels.grey * chance.uniform(1.0, 1.5)
        image = image + (level - image) * scene.lookalikes.shell * chance.uniform(0.1, 0.7)
    return image


def _paint_glioma(
    scene: _Scene, image: torch.Tensor, sequence: str, levels: TissueLevels, lesions: LesionLevels
) -> torch.Tensor:
    glioma, chance = scene.glioma, scene.canvas.chance
    if glioma.kind is GliomaKind.NONE:
        return image
    core, recipe = glioma.core, glioma.recipe
    dark = sequence in ("T1", "T1CE")

    opacity = scene.opacity * (1.0 if chance.happens(0.8) else chance.uniform(0.5, 1.1))
    roughness = 0.3 if scene.look.dark_edema else 1.0
    edema = 0.06 * roughness * scene.core_texture + 0.05 * roughness * scene.tissue_texture
    image = image + (lesions.edema * (1.0 + edema) - image) * glioma.edema * opacity.clamp_max(1.0)
    if sequence == "FLAIR" and chance.happens(0.15):  # islands of spared tissue
        spared = glioma.edema * torch.sigmoid((scene.core_texture - 1.0) * 4)
        image = image + (levels.grey * chance.uniform(0.6, 1.0) - image) * spared

    inner = lesions.core * (1.0 + chance.uniform(*recipe.texture) * scene.core_texture)
    if scene.core_opacity is not None:
        shining_through = image + (lesions.solid - levels.white) * 0.9
        inner = inner * scene.core_opacity + shining_through * (1.0 - scene.core_opacity)
    if sequence == "T1CE" and chance.happens(0.2):
        inner = inner * (1.0 + 0.15 * scene.rim_texture)
    rim = lesions.enhancing * (1.0 + chance.uniform(0.03, 0.20) * scene.rim_texture)
    outside = 1.0 - (core.necrosis + core.enhancement).clamp(0, 1)
    image = image * outside + inner * core.necrosis + rim * core.enhancement

    if glioma.kind is GliomaKind.CAVITY:
        level = levels.fluid
        if sequence == "FLAIR":
            level += (levels.grey - levels.fluid) * chance.uniform(0.0, 0.9)
        image = image + (level - image) * (1.0 + 0.05 * scene.core_texture) * core.cavity
    if scene.blood is not None:
        level = levels.white * chance.uniform(1.0, 1.5) if dark else levels.grey * chance.uniform(0.2, 1.2)
        image = image + (level - image) * scene.blood * chance.uniform(0.3, 1.0)
    return image


def _paint_leftovers(scene: _Scene, image: torch.Tensor, sequence: str, levels: TissueLevels) -> torch.Tensor:
    leftovers, chance = scene.lookalikes.leftovers, scene.canvas.chance
    if leftovers is None:
        return image
    bright = sequence == "T1CE" and chance.happens(0.6)
    level = levels.white * chance.uniform(0.8, 2.3) if bright else chance.uniform(0.05, 1.3)
    return image * (1.0 - leftovers) + leftovers * level * (1.0 + 0.2 * scene.tissue_texture)
