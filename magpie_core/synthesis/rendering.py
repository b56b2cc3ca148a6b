"""From a brain with a glioma to its images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.config import GeneratorConfig, Transforms
from magpie_core.synthesis.glioma import Glioma
from magpie_core.synthesis.lesion_contrast import LesionLevels, LesionLook
from magpie_core.synthesis.mimics import Mimics, add_mimics
from magpie_core.synthesis.other_lesions import OtherLesion
from magpie_core.synthesis.rng import Rng
from magpie_core.synthesis.tissue import HeadTissue as T
from magpie_core.synthesis.tissue_contrast import TissueLevels

_DARK = ("T1", "T1CE")
_OTHER_LESION = 2  # as edema, which is any FLAIR hyperintensity


@dataclass
class Rendering:
    """One imaging of a brain, on the brain's part of the grid.

    Parameters
    ----------
    images
        (S, D, H, W) positive intensities on an arbitrary scale, 0 outside the mask unless of the whole head.
    mask
        (D, H, W) bool, an imperfect brain mask; of a whole head the true one.
    labels
        (D, H, W) uint8.
    """

    images: torch.Tensor
    mask: torch.Tensor
    labels: torch.Tensor


@dataclass
class _Scene:
    """What the modalities of one rendering have in common; maps of the glioma cover its box."""

    canvas: Canvas
    glioma: Glioma
    effects: Transforms
    lookalikes: Mimics
    others: list[OtherLesion]
    look: LesionLook
    tissue_texture: torch.Tensor
    core_texture: torch.Tensor
    rim_texture: torch.Tensor
    blood: torch.Tensor | None
    calcium: torch.Tensor | None
    opacity: torch.Tensor
    core_opacity: torch.Tensor | None


def render(canvas: Canvas, glioma: Glioma, recipe: GeneratorConfig, *, whole_head: bool = False) -> Rendering:
    """Image a glioma once, on the canvas that it was grown on (with a chance of its own)."""
    chance, effects = canvas.chance, recipe.effects
    scene = _scene(canvas, glioma, recipe)
    jitter = chance.uniform(*effects.tissue_contrast.jitter)
    mask = effects.imperfect_mask.apply(canvas, glioma.brain, scene.lookalikes.leftovers)
    fat = glioma.tissues[T.SOFT_TISSUE]
    if whole_head:
        mask = glioma.brain
        fat = fat * torch.sigmoid(canvas.fractal(12.0, 2).mul_(2))  # muscle and fat differ
    images = torch.empty(len(recipe.modalities), *canvas.shape, device=chance.device)
    plain = None
    for channel, modality in enumerate(recipe.modalities):
        tissues = effects.tissue_contrast.draw(chance, modality, jitter=jitter, plain=plain)
        plain = tissues if modality == "T1" else plain
        lesions = effects.lesion_contrast.draw(chance, modality, tissues, scene.look)
        image = _paint_tissues(scene, tissues)
        image = _paint_lookalikes(scene, image, modality, tissues, lesions)
        for other in scene.others:
            image = _paint_other(chance, image, modality, tissues, lesions, other)
        _paint_glioma(scene, image[glioma.box], modality, tissues, lesions)
        if whole_head:
            image = image * (1.0 + fat * chance.uniform(-0.8, 2.0))
        else:
            image = _paint_leftovers(scene, image, modality, tissues)
        in_units = modality == "ADC"
        image = _acquire(scene, image, mask, level=tissues.white, in_units=in_units)
        image = image.mul_(3000.0 if in_units else chance.lognormal(400.0, 0.6))
        images[channel] = image if whole_head else image.mul_(mask)
    labels = _labels(glioma, scene, recipe.target)
    return Rendering(images, mask, torch.where(mask, labels, 0).to(torch.uint8))


def _scene(canvas: Canvas, glioma: Glioma, recipe: GeneratorConfig) -> _Scene:
    chance, effects, ranges = canvas.chance, recipe.effects, glioma.ranges
    part = canvas.window(glioma.box)
    look = effects.lesion_contrast.look(chance, ranges)
    fading = 0.0 if look.faint else effects.fading.draw(part)
    extent = glioma.core.extent[glioma.box]
    blood = calcium = None
    if chance.happens(ranges.hemorrhage * effects.hemorrhage.probability):
        blood = effects.hemorrhage.draw(part, extent)
    if chance.happens(ranges.calcification * effects.calcification.probability):
        calcium = effects.calcification.draw(part, extent)
    white_matter_lesions = effects.white_matter_lesions
    if recipe.target == "white-matter-lesions":
        white_matter_lesions = replace(white_matter_lesions, probability=1.0, own=1.0, caps=1.0, dots=1.0)
    lookalikes = add_mimics(
        canvas,
        glioma,
        white_matter_lesions=white_matter_lesions,
        vessels=effects.vessels,
        meninges=effects.meninges,
        choroid_plexus=effects.choroid_plexus,
        cyst=effects.cyst,
        leftovers=effects.leftovers,
    )
    others = [
        effect.draw(canvas, glioma)
        for name, effect in (
            ("stroke", effects.stroke),
            ("multiple-sclerosis", effects.multiple_sclerosis),
        )
        if recipe.target == name or chance.happens(effect.probability)
    ]
    return _Scene(
        canvas=canvas,
        glioma=glioma,
        effects=effects,
        lookalikes=lookalikes,
        others=others,
        look=look,
        tissue_texture=canvas.fractal(chance.uniform(4.0, 8.0), 2),
        core_texture=part.fractal(chance.uniform(4.0, 14.0), 3, 0.6),
        rim_texture=part.fractal(chance.uniform(3.0, 7.0), 2, 0.7),
        blood=blood,
        calcium=calcium,
        opacity=effects.opacity.draw(part, effects.opacity.edema).mul_(
            1.0 - fading * glioma.depth[glioma.box]
        ),
        core_opacity=effects.opacity.draw(part, effects.opacity.core) if ranges.non_enhancing_look else None,
    )


def _labels(glioma: Glioma, scene: _Scene, target: str) -> torch.Tensor:
    if target == "glioma":
        return glioma.labels
    if target == "white-matter-lesions":
        extent = scene.lookalikes.white_matter_lesions
    else:
        extent = next(other.extent for other in scene.others if other.name == target)
    return (extent > 0.5).to(torch.uint8) * _OTHER_LESION


def _paint_tissues(scene: _Scene, levels: TissueLevels) -> torch.Tensor:
    canvas, tissues = scene.canvas, scene.glioma.tissues
    chance = canvas.chance
    image = levels.paint(tissues)
    below = tissues[T.CEREBELLAR_CORTEX] + tissues[T.CEREBELLAR_WHITE_MATTER]
    below.add_(tissues[T.BRAINSTEM], alpha=0.7)
    image.mul_(below.mul_(chance.normal(0.0, 0.10)).add_(1.0))
    own = canvas.smooth(chance.uniform(3.0, 6.0)).mul_(chance.uniform(0.0, 0.03))
    return image.mul_(own.add_(scene.tissue_texture, alpha=chance.uniform(0.0, 0.035)).add_(1.0))


def _towards(image: torch.Tensor, level: float | torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Move an image towards a level by weight, in place."""
    return image.add_((level - image).mul_(weight))


def _brighten(image: torch.Tensor, level: float, weight: torch.Tensor) -> torch.Tensor:
    """Move an image towards a level by weight where that is brighter, in place."""
    return image.add_((level - image).clamp_min_(0.0).mul_(weight))


def _paint_lookalikes(
    scene: _Scene, image: torch.Tensor, modality: str, levels: TissueLevels, lesions: LesionLevels
) -> torch.Tensor:
    maps, chance = scene.lookalikes, scene.canvas.chance
    image = _towards(image, lesions.white_matter_lesion, maps.white_matter_lesions * chance.uniform(0.5, 1.0))
    if modality == "T1CE":
        for weight, brightness, share in maps.enhancing():
            level, shown = levels.white * chance.uniform(*brightness), chance.uniform(*share)
            if weight is not None:
                image = _brighten(image, level, weight * shown)
    elif modality == "T2":
        if chance.happens(0.6):  # flow voids
            image = image.mul_(1.0 - maps.vessels * chance.uniform(0.2, 0.8))
    elif modality == "T1":
        if chance.happens(0.3):
            level = levels.white * chance.uniform(0.9, 1.3)
            image = _brighten(image, level, maps.vessels * chance.uniform(0.1, 0.6))
    elif modality == "SWI":
        image = image.mul_(1.0 - maps.vessels * chance.uniform(0.4, 0.9))
    elif modality == "FLAIR":
        image = _flow_artifacts(scene, image, levels)
    return image if maps.cyst is None else _towards(image, levels.fluid, maps.cyst)


def _flow_artifacts(scene: _Scene, image: torch.Tensor, levels: TissueLevels) -> torch.Tensor:
    canvas, tissues, effect = scene.canvas, scene.glioma.tissues, scene.effects.flow_artifacts
    chance = canvas.chance
    if chance.happens(effect.flow * effect.probability):
        fluid = tissues[T.SULCAL_CSF] + tissues[T.VENTRICLE]
        where = torch.sigmoid(canvas.smooth(18.0).mul_(3).sub_(chance.uniform(1.0, 4.0))).mul_(fluid)
        level = levels.gray * chance.uniform(0.8, 1.6)
        image = _towards(image, level, where.mul_(chance.uniform(0.3, 1.0)))
    if chance.happens(effect.surface * effect.probability):
        level = levels.gray * chance.uniform(1.0, 1.5)
        image = _towards(image, level, scene.lookalikes.shell * chance.uniform(0.1, 0.7))
    return image


def _paint_other(
    chance: Rng,
    image: torch.Tensor,
    modality: str,
    levels: TissueLevels,
    lesions: LesionLevels,
    other: OtherLesion,
) -> torch.Tensor:
    level = lesions.white_matter_lesion
    if other.name == "stroke" and not levels.arbitrary:
        if other.acute:
            relative = {"DWI": (1.7, 2.6), "FLAIR": (1.1, 1.6), "T2": (1.05, 1.5), "SWI": (0.9, 1.1)}
            if modality == "ADC":
                level = chance.uniform(0.12, 0.19)
            elif modality in _DARK:
                level = levels.white + (levels.gray - levels.white) * chance.uniform(0.5, 1.5)
            else:
                level = levels.gray * chance.uniform(*relative[modality])
        else:
            level = levels.gray + (levels.fluid - levels.gray) * chance.uniform(0.4, 1.0)
    image = _towards(image, level, other.extent * chance.uniform(0.7, 1.0))
    if modality == "T1CE" and other.enhancement is not None:
        image = _brighten(image, levels.white * chance.uniform(1.1, 1.8), other.enhancement)
    return image


def _paint_glioma(
    scene: _Scene, image: torch.Tensor, modality: str, levels: TissueLevels, lesions: LesionLevels
) -> None:
    """Paint on the part of an image in the glioma's box, in place."""
    glioma, chance, effects = scene.glioma, scene.canvas.chance, scene.effects
    box, ranges = glioma.box, glioma.ranges
    core, edema = glioma.core, glioma.edema[box]
    necrosis, enhancement = core.necrosis[box], core.enhancement[box]

    opacity = scene.opacity * (1.0 if chance.happens(0.8) else chance.uniform(0.5, 1.1))
    roughness = 0.3 if scene.look.dark_edema else 1.0
    texture = 0.06 * roughness * scene.core_texture + 0.05 * roughness * scene.tissue_texture[box]
    _towards(image, texture.add_(1.0).mul_(lesions.edema), opacity.clamp_(max=1.0).mul_(edema))
    spared = effects.spared_islands
    if modality == "FLAIR" and chance.happens(spared.probability):
        islands = torch.sigmoid((scene.core_texture - 1.0).mul_(4)).mul_(edema)
        _towards(image, levels.gray * chance.uniform(*spared.level), islands)

    inner = (scene.core_texture * chance.uniform(*ranges.texture)).add_(1.0).mul_(lesions.core)
    if scene.core_opacity is not None:
        shining_through = image + (lesions.solid - levels.white) * 0.9
        inner = torch.lerp(shining_through, inner, scene.core_opacity)
    if modality == "T1CE" and chance.happens(0.2):
        inner.mul_((0.15 * scene.rim_texture).add_(1.0))
    rim = (scene.rim_texture * chance.uniform(0.03, 0.20)).add_(1.0).mul_(lesions.enhancing)
    outside = 1.0 - (necrosis + enhancement).clamp_(0, 1)
    image.mul_(outside).add_(inner.mul_(necrosis)).add_(rim.mul_(enhancement))

    if ranges.cavity:
        level = levels.fluid
        if modality == "FLAIR":
            level += (levels.gray - levels.fluid) * chance.uniform(0.0, 0.9)
        cavity = core.cavity[box]
        image.add_((level - image).mul_(cavity).mul_((0.05 * scene.core_texture).add_(1.0)))
    if scene.blood is not None:
        if modality in _DARK:
            level = levels.white * chance.uniform(1.0, 1.5)
        else:
            level = levels.gray * (
                chance.uniform(0.0, 0.3) if modality == "SWI" else chance.uniform(0.2, 1.2)
            )
        _towards(image, level, scene.blood * chance.uniform(0.3, 1.0))
    if scene.calcium is not None:
        if modality in _DARK:
            level = levels.gray * chance.uniform(0.7, 1.5)
        else:
            level = levels.gray * (
                chance.uniform(0.0, 0.3) if modality == "SWI" else chance.uniform(0.15, 0.8)
            )
        _towards(image, level, scene.calcium * chance.uniform(0.4, 1.0))


def _paint_leftovers(scene: _Scene, image: torch.Tensor, modality: str, levels: TissueLevels) -> torch.Tensor:
    leftovers, chance = scene.lookalikes.leftovers, scene.canvas.chance
    if leftovers is None:
        return image
    bright = modality == "T1CE" and chance.happens(0.6)
    level = levels.white * chance.uniform(0.8, 2.3) if bright else chance.uniform(0.05, 1.3)
    return _towards(image, (scene.tissue_texture * 0.2).add_(1.0).mul_(level), leftovers)


def _acquire(
    scene: _Scene, image: torch.Tensor, mask: torch.Tensor, *, level: float, in_units: bool
) -> torch.Tensor:
    """Apply the scanner's effects to one image (D, H, W) whose white matter is at `level`.

    A map `in_units`, as ADC is, has no coil's shading and no scale to bend.
    """
    canvas, effects = scene.canvas, scene.effects
    chance = canvas.chance
    image = image.clamp_min_(0.0)
    for effect in (
        effects.bias_field,
        effects.thick_slices,
        effects.softening,
        effects.misregistration,
        effects.ghosting,
        effects.k_space_spike,
    ):
        if chance.happens(effect.probability) and not (in_units and effect is effects.bias_field):
            image = effect.apply(canvas, image)
    if chance.happens(effects.rician_noise.probability):
        image = effects.rician_noise.apply(canvas, image, level)
    if not in_units and chance.happens(effects.gamma_bend.probability):
        image = effects.gamma_bend.apply(canvas, image, mask)
    image = image.clamp_min_(1e-4)
    if chance.happens(effects.partial_field_of_view.probability):
        image = effects.partial_field_of_view.apply(canvas, image)
    return image
