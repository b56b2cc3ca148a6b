"""One person: a head after random scaling, bending, and change of its ventricles."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.head import Head
from magpie_core.synthesis.rotation import rotation
from magpie_core.synthesis.sampling import sample_at
from magpie_core.synthesis.tissue import HeadTissue as T
from magpie_core.synthesis.transform import Law, Range, Transform


@dataclass(frozen=True, kw_only=True)
class Pose(Transform):
    """How the head lies and how large it is.

    Parameters
    ----------
    rotation_sd
        Standard deviations of the rotations about R, A, S in radians (what is left after alignment to a template).
    scale_sigma, axis_scale_sigma, shear_sd
        Deviations of the log scale of the whole head and of each axis, and of the matrix entries; the largest brains
        are larger than any adult's.
    shift_sd_mm
        Standard deviations of the shift along R, A, S.
    mirrored
        Probability that left and right change places.
    """

    rotation_sd: tuple[float, float, float] = (0.09, 0.09, 0.12)
    scale_sigma: float = 0.05
    axis_scale_sigma: float = 0.04
    shear_sd: float = 0.02
    shift_sd_mm: tuple[float, float, float] = (3.0, 3.0, 4.0)
    mirrored: float = 0.5

    def draw(self, canvas: Canvas) -> tuple[torch.Tensor, torch.Tensor]:
        """Matrix (3, 3) and shift (3,) in mm from the subject's points to the head's."""
        chance = canvas.chance
        if not chance.happens(self.probability):
            return torch.eye(3), torch.zeros(3)
        size = chance.lognormal(1.0, self.scale_sigma)
        scales = torch.tensor([size * chance.lognormal(1.0, self.axis_scale_sigma) for _ in range(3)])
        turn = rotation(tuple(chance.normal(0.0, sd) for sd in self.rotation_sd))
        shear = torch.tensor([[chance.normal(0.0, self.shear_sd) for _ in range(3)] for _ in range(3)])
        matrix = turn @ torch.diag(scales) + shear
        if chance.happens(self.mirrored):
            matrix[0] *= -1
        return matrix, torch.tensor([chance.normal(0.0, sd) for sd in self.shift_sd_mm])


@dataclass(frozen=True, kw_only=True)
class ElasticDeformation(Transform):
    """Smooth displacement at two scales, as people's brains differ; far below folding (amplitude << length).

    Parameters
    ----------
    coarse_mm, fine_mm
        Correlation length of each scale.
    coarse_amplitude_mm, fine_amplitude_mm
        Deviation of its displacement.
    """

    coarse_mm: Range = (35.0, 60.0)
    coarse_amplitude_mm: Range = (0.5, 3.2)
    fine_mm: Range = (14.0, 25.0)
    fine_amplitude_mm: Range = (0.3, 1.5)

    def draw(self, canvas: Canvas) -> torch.Tensor | None:
        """Displacement (3, D, H, W) in mm."""
        chance = canvas.chance
        if not chance.happens(self.probability):
            return None
        bend = torch.zeros(3, *canvas.shape, device=chance.device)
        for length, amplitude in (
            (self.coarse_mm, self.coarse_amplitude_mm),
            (self.fine_mm, self.fine_amplitude_mm),
        ):
            correlation, strength = chance.uniform(*length), chance.uniform(*amplitude)
            for axis in range(3):
                bend[axis].add_(canvas.smooth(correlation), alpha=strength)
        return bend


@dataclass(frozen=True, kw_only=True)
class VentricleChange(Transform):
    """Wider or narrower ventricles, by moving their wall along the gradient of a blurred ventricle map.

    Parameters
    ----------
    growth
        Displacement relative to that gradient in mm^2; positive widens. The label maps' own ventricles measure 7 to
        91 ml already.
    """

    growth: Range = (-60.0, 110.0)

    def draw(self, canvas: Canvas) -> float:
        """The growth of one subject."""
        if not canvas.chance.happens(self.probability):
            return 0.0
        return canvas.chance.uniform(*self.growth)


@dataclass(frozen=True, kw_only=True)
class TissueWidths(Transform):
    """Sulci and white matter widened or narrowed by weighting class probabilities: atrophy, and its opposite.

    Parameters
    ----------
    sulci, white_matter
        (mean, standard deviation) of the log weight of the whole head.
    sulci_noise, white_matter_noise
        Amplitude of its variation from place to place.
    sulci_mm, white_matter_mm
        Correlation length of that variation.
    sharpening
        Exponent on the probabilities afterwards.
    """

    sulci: Law = (-0.3, 0.5)
    sulci_noise: Range = (0.0, 0.8)
    sulci_mm: Range = (5.0, 10.0)
    white_matter: Law = (0.0, 0.25)
    white_matter_noise: Range = (0.0, 0.6)
    white_matter_mm: Range = (6.0, 14.0)
    sharpening: Range = (1.0, 1.8)

    def apply(self, canvas: Canvas, tissues: torch.Tensor) -> torch.Tensor:
        """Weight probabilities (16, D, H, W) in place."""
        chance = canvas.chance
        if not chance.happens(self.probability):
            return tissues
        total = tissues.sum(0)
        for tissue, mean, noise, length in (
            (T.SULCAL_CSF, self.sulci, self.sulci_noise, self.sulci_mm),
            (T.WHITE_MATTER, self.white_matter, self.white_matter_noise, self.white_matter_mm),
        ):
            weight = canvas.smooth(chance.uniform(*length)).mul_(chance.uniform(*noise))
            tissues[tissue] *= weight.add_(chance.normal(*mean)).exp_()
        tissues *= total / tissues.sum(0).clamp_min(1e-3)
        exponent = chance.uniform(*self.sharpening)
        for tissue in tissues:
            tissue.clamp_(min=0).pow_(exponent)
        return tissues.div_(tissues.sum(0).clamp_min(1e-6))


class Subject:
    """A random deformation of a head, which gives tissue probabilities at any point.

    Parameters
    ----------
    canvas, head
        Where to draw, and whom.
    pose, bending, ventricles
        What differs from the head.
    """

    def __init__(
        self,
        canvas: Canvas,
        head: Head,
        *,
        pose: Pose,
        bending: ElasticDeformation,
        ventricles: VentricleChange,
    ) -> None:
        self._head = head
        self._sample = head.sampler()
        matrix, shift = pose.draw(canvas)
        self._matrix = matrix.to(canvas.chance.device)
        self._shift = shift.to(canvas.chance.device)[:, None, None, None]
        self._coarse, _ = canvas.coarser()
        self._bend = bending.draw(self._coarse)
        self._growth = ventricles.draw(canvas)

    def tissues(self, points: torch.Tensor) -> torch.Tensor:
        """Probabilities (16, d, h, w) at points (3, d, h, w) in mm."""
        if self._bend is not None:
            coarse = self._coarse
            points = points + sample_at(self._bend, points, coarse.spacing_mm, middle_mm=coarse.middle_mm)
        bent = (self._matrix @ points.flatten(1)).view_as(points) + self._shift
        if self._growth:
            bent = bent - self._growth * self._head.ventricle_gradient(bent)
        return self._sample(bent)


def brain_of(tissues: torch.Tensor) -> torch.Tensor:
    """(D, H, W) bool: where brain and the fluid around it outweigh skull and air, of tissues (16, D, H, W)."""
    inside = tissues[T.SULCAL_CSF].clone()
    for tissue in (*range(T.VENTRICLE, T.SOFT_TISSUE), T.CHOROID_PLEXUS, T.WHITE_MATTER_LESION):
        inside += tissues[tissue]
    return inside > 0.5
