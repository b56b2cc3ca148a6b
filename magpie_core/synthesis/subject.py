"""One person: a head after random scaling, bending, and change of ventricles and sulci."""

from __future__ import annotations

import torch

from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.head import Head
from magpie_core.synthesis.rotation import rotation
from magpie_core.synthesis.tissue import HeadTissue as T


class Subject:
    """A random deformation of a head, which gives tissue probabilities at any point of the canvas.

    Parameters
    ----------
    canvas, head
        Where to draw, and whom.
    rotation_sd
        Standard deviations of the rotations about R, A, S in radians.
    scale_sigma, axis_scale_sigma, shear_sd
        Deviations of the log scale of the whole head and of each axis, and of the matrix entries.
    shift_sd_mm
        Standard deviations of the shift along R, A, S.
    bends
        Two scales of smooth displacement: ((correlation mm), (amplitude mm)) ranges.
    ventricle_growth
        Range of displacement along the ventricles' gradient, mm^2; positive widens.
    """

    def __init__(
        self,
        canvas: Canvas,
        head: Head,
        *,
        rotation_sd: tuple[float, float, float] = (0.09, 0.09, 0.12),
        scale_sigma: float = 0.05,
        axis_scale_sigma: float = 0.04,
        shear_sd: float = 0.02,
        shift_sd_mm: tuple[float, float, float] = (3.0, 3.0, 4.0),
        bends: tuple[tuple[tuple[float, float], tuple[float, float]], ...] = (
            ((35.0, 60.0), (0.5, 3.2)),
            ((14.0, 25.0), (0.3, 1.5)),
        ),
        ventricle_growth: tuple[float, float] = (-60.0, 110.0),
    ) -> None:
        chance = canvas.chance
        self._head = head
        size = chance.lognormal(1.0, scale_sigma)
        scales = torch.tensor([size * chance.lognormal(1.0, axis_scale_sigma) for _ in range(3)])
        turn = rotation(tuple(chance.normal(0.0, sd) for sd in rotation_sd))
        matrix = turn @ torch.diag(scales) + chance.normals(3, 3) * shear_sd
        if chance.happens(0.5):
            matrix[0] *= -1  # left and right change places
        self._matrix = matrix
        self._shift = torch.tensor([chance.normal(0.0, sd) for sd in shift_sd_mm])
        self._bend = torch.zeros(*canvas.shape, 3)
        for correlation, amplitude in bends:
            length, strength = chance.uniform(*correlation), chance.uniform(*amplitude)
            self._bend += torch.stack([canvas.smooth(length) for _ in range(3)], -1).mul_(strength)
        self._growth = chance.uniform(*ventricle_growth)

    def tissues(self, points: torch.Tensor, *, step: int = 1) -> torch.Tensor:
        """Probabilities (16, d, h, w) at points (D, H, W, 3) mm, one per voxel of the canvas; every `step`-th only."""
        every = (slice(None, None, step),) * 3
        bent = (points[every] + self._bend[every]) @ self._matrix.T + self._shift
        return self._head.tissues(bent - self._growth * self._head.ventricle_gradient(bent))


def vary_widths(
    canvas: Canvas,
    tissues: torch.Tensor,
    *,
    sulci: tuple[float, float] = (-0.3, 0.5),
    sulci_noise: tuple[float, float] = (0.0, 0.8),
    white_matter: tuple[float, float] = (0.0, 0.25),
    white_matter_noise: tuple[float, float] = (0.0, 0.6),
    sharpening: tuple[float, float] = (1.0, 1.8),
) -> torch.Tensor:
    """Widen or narrow sulci and white matter by weighting class probabilities, then sharpen all of them.

    Parameters
    ----------
    tissues
        (16, D, H, W) probabilities; changed in place.
    sulci, white_matter
        (mean, standard deviation) of the log weight of the whole head.
    sulci_noise, white_matter_noise
        Range of the amplitude of its variation from place to place.
    sharpening
        Range of the exponent.
    """
    chance = canvas.chance
    total = tissues.sum(0)
    sulcal_weight = canvas.smooth(chance.uniform(5.0, 10.0)).mul_(chance.uniform(*sulci_noise))
    tissues[T.SULCAL_CSF] *= torch.exp(sulcal_weight + chance.normal(*sulci))
    white_weight = canvas.smooth(chance.uniform(6.0, 14.0)).mul_(chance.uniform(*white_matter_noise))
    tissues[T.WHITE_MATTER] *= torch.exp(white_weight + chance.normal(*white_matter))
    tissues *= total / tissues.sum(0).clamp_min(1e-3)
    tissues.clamp_(min=0).pow_(chance.uniform(*sharpening))
    return tissues.div_(tissues.sum(0).clamp_min(1e-6))


def brain_of(tissues: torch.Tensor) -> torch.Tensor:
    """(D, H, W) bool: where brain and the fluid around it outweigh skull and air."""
    inside = (
        tissues[T.SULCAL_CSF : T.SOFT_TISSUE].sum(0)
        + tissues[T.CHOROID_PLEXUS]
        + tissues[T.WHITE_MATTER_LESION]
    )
    return inside > 0.5
