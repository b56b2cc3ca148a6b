"""Images of a brain with a glioma."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from magpie_core.synthesis.acquisition import AcquisitionTransforms
from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.glioma import Glioma
from magpie_core.synthesis.lesion_appearance import (
    Calcification,
    Fading,
    FlowArtifacts,
    Hemorrhage,
    LesionContrast,
    LesionLevels,
    Opacity,
    SparedIslands,
)
from magpie_core.synthesis.mimics import Mimics, MimicTransforms
from magpie_core.synthesis.other_lesions import MultipleSclerosis, OtherLesion, Stroke
from magpie_core.synthesis.tissue import HeadTissue as T, TissueContrast, TissueLevels

_DARK = ("T1", "T1CE")
# of an acute stroke, relative to cortex
_ACUTE_STROKE = {"DWI": (1.7, 2.6), "FLAIR": (1.1, 1.6), "T2": (1.05, 1.5), "SWI": (0.9, 1.1)}
_OTHER_LESION = 2  # the label of edema, which is any FLAIR hyperintensity


@dataclass(frozen=True, kw_only=True)
class RenderingTransforms(AcquisitionTransforms, MimicTransforms):
    """Transforms from a brain with a glioma to its images."""

    tissue_contrast: TissueContrast = TissueContrast()
    lesion_contrast: LesionContrast = LesionContrast()
    opacity: Opacity = Opacity()
    fading: Fading = Fading()
    hemorrhage: Hemorrhage = Hemorrhage()
    calcification: Calcification = Calcification()
    spared_islands: SparedIslands = SparedIslands()
    stroke: Stroke = Stroke()
    multiple_sclerosis: MultipleSclerosis = MultipleSclerosis()
    flow_artifacts: FlowArtifacts = FlowArtifacts()


def render(
    canvas: Canvas,
    glioma: Glioma,
    transforms: RenderingTransforms,
    *,
    modalities: Sequence[str],
    target: str = "glioma",
    whole_head: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Render a glioma once, on the grid that it was grown on (with an rng of its own).

    Args:
        target: What is labeled: "glioma", "white-matter-lesions", "stroke" or "multiple-sclerosis".

    Returns:
        images: (S, D, H, W) positive intensities on an arbitrary scale, 0 outside the mask unless of the whole head.
        labels: (D, H, W) uint8.
        mask: (D, H, W) bool, an imperfect brain mask; of a whole head the true one.
    """
    rng = canvas.rng
    scene = _Scene(canvas, glioma, transforms, target)
    jitter = rng.uniform(*transforms.tissue_contrast.jitter)
    mask = transforms.imperfect_mask.apply(canvas, glioma.brain, scene.mimics.residual_skull)
    soft_tissue = glioma.tissues[T.SOFT_TISSUE]
    if whole_head:
        mask = glioma.brain
        soft_tissue = soft_tissue * torch.sigmoid(canvas.fractal_noise(12.0, 2).mul_(2))  # muscle and fat
    images = torch.empty(len(modalities), *canvas.shape, device=rng.device)
    t1 = None
    for channel, modality in enumerate(modalities):
        tissues = transforms.tissue_contrast.draw(rng, modality, jitter=jitter, t1=t1)
        t1 = tissues if modality == "T1" else t1
        image = scene.paint(modality, tissues)
        if whole_head:
            image.mul_(1.0 + soft_tissue * rng.uniform(-0.8, 2.0))
        else:
            scene.paint_residual_skull(image, modality, tissues)
        quantitative = modality == "ADC"
        image = transforms.acquire(canvas, image, mask, level=tissues.white, quantitative=quantitative)
        image = image.mul_(3000.0 if quantitative else rng.lognormal(400.0, 0.6))
        images[channel] = image if whole_head else image.mul_(mask)
    return images, torch.where(mask, scene.labels(), 0).to(torch.uint8), mask


class _Scene:
    """What the modalities of one rendering share; textures and maps of the glioma cover its tumor box."""

    def __init__(self, canvas: Canvas, glioma: Glioma, transforms: RenderingTransforms, target: str) -> None:
        self.canvas, self.glioma, self.transforms, self.target = canvas, glioma, transforms, target
        rng, ranges, opacity = canvas.rng, glioma.ranges, transforms.opacity
        part = canvas.crop(glioma.tumor_box)
        self.appearance = transforms.lesion_contrast.draw_appearance(rng, ranges)
        fading = 0.0 if self.appearance.faint else transforms.fading.draw(part)
        extent = glioma.core.extent[glioma.tumor_box]
        self.blood = self.calcium = None
        if rng.bernoulli(ranges.hemorrhage * transforms.hemorrhage.probability):
            self.blood = transforms.hemorrhage.draw(part, extent)
        if rng.bernoulli(ranges.calcification * transforms.calcification.probability):
            self.calcium = transforms.calcification.draw(part, extent)
        if target == "white-matter-lesions":
            always = replace(transforms.white_matter_lesions, probability=1.0, from_label_map=1.0, caps=1.0, dots=1.0)
            transforms = replace(transforms, white_matter_lesions=always)
        self.mimics = Mimics(canvas, glioma, transforms)
        self.others = [
            disease.draw(canvas, glioma)
            for name, disease in (("stroke", transforms.stroke), ("multiple-sclerosis", transforms.multiple_sclerosis))
            if target == name or rng.bernoulli(disease.probability)
        ]
        self.tissue_texture = canvas.fractal_noise(rng.uniform(4.0, 8.0), 2)
        self.core_texture = part.fractal_noise(rng.uniform(4.0, 14.0), 3, 0.6)
        self.rim_texture = part.fractal_noise(rng.uniform(3.0, 7.0), 2, 0.7)
        self.opacity = opacity.draw(part, opacity.edema).mul_(1.0 - fading * glioma.depth[glioma.tumor_box])
        self.core_opacity = opacity.draw(part, opacity.core) if ranges.non_enhancing_core else None

    def labels(self) -> torch.Tensor:
        """Return the labels (D, H, W) uint8 of the target, before the mask is applied."""
        if self.target == "glioma":
            return self.glioma.labels
        if self.target == "white-matter-lesions":
            extent = self.mimics.white_matter_lesions
        else:
            extent = next(other.extent for other in self.others if other.name == self.target)
        return (extent > 0.5).to(torch.uint8) * _OTHER_LESION

    def paint(self, modality: str, levels: TissueLevels) -> torch.Tensor:
        """Return a noise-free image (D, H, W) of the brain."""
        lesions = self.transforms.lesion_contrast.draw(self.canvas.rng, modality, levels, self.appearance)
        image = self._paint_tissues(levels)
        self._paint_mimics(image, modality, levels, lesions)
        for other in self.others:
            self._paint_other(image, modality, levels, lesions, other)
        self._paint_glioma(image[self.glioma.tumor_box], modality, levels, lesions)
        return image

    def paint_residual_skull(self, image: torch.Tensor, modality: str, levels: TissueLevels) -> None:
        """Blend what skull stripping left into an image, in place."""
        residual_skull, rng = self.mimics.residual_skull, self.canvas.rng
        if residual_skull is not None:
            bright = modality == "T1CE" and rng.bernoulli(0.6)
            level = levels.white * rng.uniform(0.8, 2.3) if bright else rng.uniform(0.05, 1.3)
            _blend(image, (self.tissue_texture * 0.2).add_(1.0).mul_(level), residual_skull)

    def _paint_tissues(self, levels: TissueLevels) -> torch.Tensor:
        canvas, tissues = self.canvas, self.glioma.tissues
        rng = canvas.rng
        image = levels.render(tissues)
        below = tissues[T.CEREBELLAR_CORTEX] + tissues[T.CEREBELLAR_WHITE_MATTER]
        below.add_(tissues[T.BRAINSTEM], alpha=0.7)
        image.mul_(below.mul_(rng.normal(0.0, 0.10)).add_(1.0))
        texture = canvas.smooth_noise(rng.uniform(3.0, 6.0)).mul_(rng.uniform(0.0, 0.03))
        return image.mul_(texture.add_(self.tissue_texture, alpha=rng.uniform(0.0, 0.035)).add_(1.0))

    def _paint_mimics(self, image: torch.Tensor, modality: str, levels: TissueLevels, lesions: LesionLevels) -> None:
        maps, rng = self.mimics, self.canvas.rng
        _blend(image, lesions.white_matter_lesion, maps.white_matter_lesions * rng.uniform(0.5, 1.0))
        if modality == "T1CE":
            for weight, brightness, opacity in maps.enhancing:
                level, shown = levels.white * rng.uniform(*brightness), rng.uniform(*opacity)
                if weight is not None:
                    _brighten(image, level, weight * shown)
        elif modality == "T2":
            if rng.bernoulli(0.6):  # flow voids
                image.mul_(1.0 - maps.vessels * rng.uniform(0.2, 0.8))
        elif modality == "T1":
            if rng.bernoulli(0.3):
                level = levels.white * rng.uniform(0.9, 1.3)
                _brighten(image, level, maps.vessels * rng.uniform(0.1, 0.6))
        elif modality == "SWI":
            image.mul_(1.0 - maps.vessels * rng.uniform(0.4, 0.9))
        elif modality == "FLAIR":
            self._flow_artifacts(image, levels)
        if maps.cyst is not None:
            _blend(image, levels.fluid, maps.cyst)

    def _flow_artifacts(self, image: torch.Tensor, levels: TissueLevels) -> None:
        canvas, tissues, transform = self.canvas, self.glioma.tissues, self.transforms.flow_artifacts
        rng = canvas.rng
        if rng.bernoulli(transform.flow * transform.probability):
            fluid = tissues[T.SULCAL_CSF] + tissues[T.VENTRICLE]
            where = torch.sigmoid(canvas.smooth_noise(18.0).mul_(3).sub_(rng.uniform(1.0, 4.0))).mul_(fluid)
            level = levels.gray * rng.uniform(0.8, 1.6)
            _blend(image, level, where.mul_(rng.uniform(0.3, 1.0)))
        if rng.bernoulli(transform.surface * transform.probability):
            level = levels.gray * rng.uniform(1.0, 1.5)
            _blend(image, level, self.mimics.shell * rng.uniform(0.1, 0.7))

    def _paint_other(
        self, image: torch.Tensor, modality: str, levels: TissueLevels, lesions: LesionLevels, other: OtherLesion
    ) -> None:
        rng, level = self.canvas.rng, lesions.white_matter_lesion
        if other.name == "stroke" and not levels.arbitrary:
            if not other.acute:
                level = levels.gray + (levels.fluid - levels.gray) * rng.uniform(0.4, 1.0)
            elif modality == "ADC":
                level = rng.uniform(0.12, 0.19)
            elif modality in _DARK:
                level = levels.white + (levels.gray - levels.white) * rng.uniform(0.5, 1.5)
            else:
                level = levels.gray * rng.uniform(*_ACUTE_STROKE[modality])
        _blend(image, level, other.extent * rng.uniform(0.7, 1.0))
        if modality == "T1CE" and other.enhancement is not None:
            _brighten(image, levels.white * rng.uniform(1.1, 1.8), other.enhancement)

    def _paint_glioma(self, image: torch.Tensor, modality: str, levels: TissueLevels, lesions: LesionLevels) -> None:
        """Paint on the part of an image in the tumor box, in place."""
        glioma, rng, transforms = self.glioma, self.canvas.rng, self.transforms
        box, ranges = glioma.tumor_box, glioma.ranges
        core, edema = glioma.core, glioma.edema[box]
        necrosis, enhancement = core.necrosis[box], core.enhancement[box]

        opacity = self.opacity * (1.0 if rng.bernoulli(0.8) else rng.uniform(0.5, 1.1))
        roughness = 0.3 if self.appearance.dark_edema else 1.0
        texture = 0.06 * roughness * self.core_texture + 0.05 * roughness * self.tissue_texture[box]
        _blend(image, texture.add_(1.0).mul_(lesions.edema), opacity.clamp_(max=1.0).mul_(edema))
        spared = transforms.spared_islands
        if modality == "FLAIR" and rng.bernoulli(spared.probability):
            islands = torch.sigmoid((self.core_texture - 1.0).mul_(4)).mul_(edema)
            _blend(image, levels.gray * rng.uniform(*spared.level), islands)

        inner = (self.core_texture * rng.uniform(*ranges.texture)).add_(1.0).mul_(lesions.core)
        if self.core_opacity is not None:
            shining_through = image + (lesions.solid - levels.white) * 0.9
            inner = torch.lerp(shining_through, inner, self.core_opacity)
        if modality == "T1CE" and rng.bernoulli(0.2):
            inner.mul_((0.15 * self.rim_texture).add_(1.0))
        rim = (self.rim_texture * rng.uniform(0.03, 0.20)).add_(1.0).mul_(lesions.enhancing)
        outside = 1.0 - (necrosis + enhancement).clamp_(0, 1)
        image.mul_(outside).add_(inner.mul_(necrosis)).add_(rim.mul_(enhancement))

        if ranges.cavity:
            level = levels.fluid
            if modality == "FLAIR":
                level += (levels.gray - levels.fluid) * rng.uniform(0.0, 0.9)
            cavity = core.cavity[box]
            image.add_((level - image).mul_(cavity).mul_((0.05 * self.core_texture).add_(1.0)))
        for specks, bright, on_t1, on_t2, shown in (
            (self.blood, levels.white, (1.0, 1.5), (0.2, 1.2), (0.3, 1.0)),
            (self.calcium, levels.gray, (0.7, 1.5), (0.15, 0.8), (0.4, 1.0)),
        ):
            if specks is not None:
                if modality in _DARK:
                    level = bright * rng.uniform(*on_t1)
                else:
                    level = levels.gray * rng.uniform(*((0.0, 0.3) if modality == "SWI" else on_t2))
                _blend(image, level, specks * rng.uniform(*shown))


def _blend(image: torch.Tensor, level: float | torch.Tensor, weight: torch.Tensor) -> None:
    """Blend a level into an image by weight, in place."""
    image.add_((level - image).mul_(weight))


def _brighten(image: torch.Tensor, level: float, weight: torch.Tensor) -> None:
    """Blend a level into an image by weight where it is brighter, in place."""
    image.add_((level - image).clamp_min_(0.0).mul_(weight))
