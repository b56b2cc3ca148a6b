"""One subject: a head after a random affine, elastic deformation and change of its ventricles."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from magpie_core.synthesis.anatomy import Head
from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.tissue import HeadTissue as T
from magpie_core.synthesis.transform import MedianSigma, Range, Transform
from magpie_core.synthesis.volume_operations import rotation_tensor, sample_at


@dataclass(frozen=True, kw_only=True)
class Affine(Transform):
    """Rotation, scale, shear, shift and reflection of the head.

    Args:
        rotation_sd: Standard deviations of the rotations about R, A, S in radians (the residual after alignment to a
            template).
        scale_sigma, axis_scale_sigma, shear_sd: Deviations of the log scale of the whole head and of each axis, and of
            the matrix entries; the largest brains exceed any adult's.
        shift_sd_mm: Standard deviations of the shift along R, A, S.
        reflected: Probability of a reflection, left to right.
    """

    rotation_sd: tuple[float, float, float] = (0.09, 0.09, 0.12)
    scale_sigma: float = 0.05
    axis_scale_sigma: float = 0.04
    shear_sd: float = 0.02
    shift_sd_mm: tuple[float, float, float] = (3.0, 3.0, 4.0)
    reflected: float = 0.5

    def draw(self, canvas: Canvas) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw the matrix (3, 3) and shift (3,) in mm from the subject's points to the head's."""
        rng = canvas.rng
        if not rng.bernoulli(self.probability):
            return torch.eye(3), torch.zeros(3)
        size = rng.lognormal(1.0, self.scale_sigma)
        scales = torch.tensor([size * rng.lognormal(1.0, self.axis_scale_sigma) for _ in range(3)])
        rotation = rotation_tensor(rng.normal(0.0, sd) for sd in self.rotation_sd)
        shear = torch.tensor([[rng.normal(0.0, self.shear_sd) for _ in range(3)] for _ in range(3)])
        matrix = rotation @ torch.diag(scales) + shear
        if rng.bernoulli(self.reflected):
            matrix[0] *= -1
        return matrix, torch.tensor([rng.normal(0.0, sd) for sd in self.shift_sd_mm])


@dataclass(frozen=True, kw_only=True)
class ElasticDeformation(Transform):
    """Smooth displacement at two scales; far below folding (amplitude << length).

    Args:
        coarse_mm, fine_mm: Correlation length of each scale.
        coarse_amplitude_mm, fine_amplitude_mm: Deviation of its displacement.
    """

    coarse_mm: Range = (35.0, 60.0)
    coarse_amplitude_mm: Range = (0.5, 3.2)
    fine_mm: Range = (14.0, 25.0)
    fine_amplitude_mm: Range = (0.3, 1.5)

    def draw(self, canvas: Canvas) -> torch.Tensor | None:
        """Draw a displacement (3, D, H, W) in mm; None if there is none."""
        rng = canvas.rng
        if not rng.bernoulli(self.probability):
            return None
        displacement = torch.zeros(3, *canvas.shape, device=rng.device)
        for length, amplitude in ((self.coarse_mm, self.coarse_amplitude_mm), (self.fine_mm, self.fine_amplitude_mm)):
            correlation, strength = rng.uniform(*length), rng.uniform(*amplitude)
            for axis in range(3):
                displacement[axis].add_(canvas.smooth_noise(correlation), alpha=strength)
        return displacement


@dataclass(frozen=True, kw_only=True)
class VentricleChange(Transform):
    """Wider or narrower ventricles, by displacement along the gradient of a blurred ventricle map.

    Args:
        growth: Displacement relative to that gradient in mm^2; positive widens. The label maps' own ventricles measure
            7 to 91 ml.
    """

    growth: Range = (-60.0, 110.0)

    def draw(self, canvas: Canvas) -> float:
        """Draw the growth of one subject."""
        return canvas.rng.uniform(*self.growth) if canvas.rng.bernoulli(self.probability) else 0.0


@dataclass(frozen=True, kw_only=True)
class TissueWidths(Transform):
    """Wider or narrower sulci and white matter, by weights on class probabilities: atrophy, and its opposite.

    Args:
        sulci, white_matter: (mean, standard deviation) of the log weight of the whole head.
        sulci_noise, white_matter_noise: Amplitude of its variation in space.
        sulci_mm, white_matter_mm: Correlation length of that variation.
        sharpening: Exponent on the probabilities afterwards.
    """

    sulci: MedianSigma = (-0.3, 0.5)
    sulci_noise: Range = (0.0, 0.8)
    sulci_mm: Range = (5.0, 10.0)
    white_matter: MedianSigma = (0.0, 0.25)
    white_matter_noise: Range = (0.0, 0.6)
    white_matter_mm: Range = (6.0, 14.0)
    sharpening: Range = (1.0, 1.8)

    def apply(self, canvas: Canvas, tissues: torch.Tensor) -> torch.Tensor:
        """Weight probabilities (16, D, H, W), in place."""
        rng = canvas.rng
        if not rng.bernoulli(self.probability):
            return tissues
        total = tissues.sum(0)
        for tissue, mean, noise, length in (
            (T.SULCAL_CSF, self.sulci, self.sulci_noise, self.sulci_mm),
            (T.WHITE_MATTER, self.white_matter, self.white_matter_noise, self.white_matter_mm),
        ):
            weight = canvas.smooth_noise(rng.uniform(*length)).mul_(rng.uniform(*noise))
            tissues[tissue] *= weight.add_(rng.normal(*mean)).exp_()
        tissues *= total / tissues.sum(0).clamp_min(1e-3)
        exponent = rng.uniform(*self.sharpening)
        for tissue in tissues:
            tissue.clamp_(min=0).pow_(exponent)
        return tissues.div_(tissues.sum(0).clamp_min(1e-6))


@dataclass(frozen=True, kw_only=True)
class SubjectTransforms:
    """Transforms from a head to a subject."""

    affine: Affine = Affine()
    elastic_deformation: ElasticDeformation = ElasticDeformation()
    ventricle_change: VentricleChange = VentricleChange()


class Subject:
    """A random deformation of a head: tissue probabilities at any point."""

    def __init__(self, canvas: Canvas, head: Head, transforms: SubjectTransforms) -> None:
        self._head = head
        self._sample = head.sampler()
        matrix, shift = transforms.affine.draw(canvas)
        self._matrix = matrix.to(canvas.rng.device)
        self._shift = shift.to(canvas.rng.device)[:, None, None, None]
        self._coarse, _ = canvas.coarser()
        self._displacement = transforms.elastic_deformation.draw(self._coarse)
        self._growth = transforms.ventricle_change.draw(canvas)

    def tissues(self, points: torch.Tensor) -> torch.Tensor:
        """Return probabilities (16, d, h, w) at points (3, d, h, w) in mm."""
        if self._displacement is not None:
            coarse = self._coarse
            points = points + sample_at(self._displacement, points, coarse.spacing_mm, center_mm=coarse.center_mm)
        points = (self._matrix @ points.flatten(1)).view_as(points) + self._shift
        if self._growth:
            points = points - self._growth * self._head.ventricle_gradient(points)
        return self._sample(points)


def brain_mask_of(tissues: torch.Tensor) -> torch.Tensor:
    """Return the mask (D, H, W) bool of brain and the fluid around it, of tissues (16, D, H, W)."""
    inside = tissues[T.SULCAL_CSF].clone()
    for tissue in (*range(T.VENTRICLE, T.SOFT_TISSUE), T.CHOROID_PLEXUS, T.WHITE_MATTER_LESION):
        inside += tissues[tissue]
    return inside > 0.5
