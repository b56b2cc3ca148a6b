"""What the scanner and the preparation of the images add: every effect maps an image (D, H, W) to an image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as functional

from magpie_core.synthesis.along_axis import (
    along_axis,
    averaging_matrix,
    enlarging_matrix,
    shift_matrix,
)
from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.rotation import rotation
from magpie_core.synthesis.transform import Count, Range, Transform


@dataclass(frozen=True, kw_only=True)
class BiasField(Transform):
    """A slow, smooth factor, as coils leave it.

    Parameters
    ----------
    correlation_mm
        Length over which it changes.
    sd
        Deviation of its log strength.
    """

    correlation_mm: Range = (50.0, 120.0)
    sd: float = 0.12

    def apply(self, canvas: Canvas, image: torch.Tensor) -> torch.Tensor:
        """Multiply an image."""
        strength = abs(canvas.chance.normal(0.0, self.sd))
        return image * canvas.smooth(canvas.chance.uniform(*self.correlation_mm)).mul_(strength).exp_()


@dataclass(frozen=True, kw_only=True)
class ThickSlices(Transform):
    """Thick slices along a random axis, interpolated back as preparation does it (clinical FLAIR: 2 to 6 mm).

    Parameters
    ----------
    thickness_mm
        Distance of the slices.
    blocky
        Probability that slices are repeated rather than interpolated.
    """

    probability: float = 0.4
    thickness_mm: Range = (2.0, 6.5)
    blocky: float = 0.1

    def apply(self, canvas: Canvas, image: torch.Tensor) -> torch.Tensor:
        """Average over slices, then interpolate."""
        chance = canvas.chance
        axis = chance.below(3)
        thickness = chance.uniform(*self.thickness_mm) / canvas.spacing_mm
        if thickness <= 1.2:
            return image
        size = canvas.shape[axis]
        slices = max(8, round(size / thickness))
        averaging = averaging_matrix(slices, size)
        if chance.happens(self.blocky):
            back = (averaging.T > 0).float()
            back = back / back.sum(1, keepdim=True)
        else:
            back = enlarging_matrix(size, slices)
        return along_axis(image, back @ averaging, axis)


@dataclass(frozen=True, kw_only=True)
class Blur(Transform):
    """A little blur, as interpolation and partial volume leave it."""

    probability: float = 0.4
    sigma_mm: Range = (0.4, 1.1)

    def apply(self, canvas: Canvas, image: torch.Tensor) -> torch.Tensor:
        """Blur an image."""
        return canvas.blur(image, canvas.chance.uniform(*self.sigma_mm))


@dataclass(frozen=True, kw_only=True)
class Misregistration(Transform):
    """A shift, and sometimes a turn, that imperfect alignment to the other modalities leaves.

    Parameters
    ----------
    shift_sd_mm
        Deviation of the shift along each axis.
    turned, turn_sd
        Probability of a turn, and the deviation of its angles in radians.
    """

    probability: float = 0.5
    shift_sd_mm: float = 0.5
    turned: float = 0.3
    turn_sd: float = 0.012

    def apply(self, canvas: Canvas, image: torch.Tensor) -> torch.Tensor:
        """Move an image."""
        chance = canvas.chance
        shifts = [chance.normal(0.0, self.shift_sd_mm) / canvas.spacing_mm for _ in range(3)]
        if not chance.happens(self.turned):
            for axis, shift in enumerate(shifts):
                matrix = shift_matrix(canvas.shape[axis], shift)
                image = along_axis(image, matrix, axis)
            return image
        transform = torch.zeros(3, 4)
        transform[:, :3] = rotation(tuple(chance.normal(0.0, self.turn_sd) for _ in range(3)))
        for axis, shift in enumerate(shifts):
            transform[2 - axis, 3] = 2 * shift / canvas.shape[axis]
        grid = functional.affine_grid(
            transform[None].to(image.device), [1, 1, *canvas.shape], align_corners=False
        )
        return functional.grid_sample(image[None, None], grid, align_corners=False)[0, 0]


@dataclass(frozen=True, kw_only=True)
class Ghosting(Transform):
    """Every few lines of k-space weakened along a random axis, as periodic motion does.

    Parameters
    ----------
    period
        How many lines apart.
    loss
        What is left of them.
    """

    probability: float = 0.12
    period: Count = (2, 5)
    loss: Range = (0.7, 0.95)

    def apply(self, canvas: Canvas, image: torch.Tensor) -> torch.Tensor:
        """Add ghosts to an image."""
        chance = canvas.chance
        axis = chance.below(3)
        weights = torch.ones(canvas.shape[axis], device=image.device)
        weights[:: chance.between(*self.period)] = chance.uniform(*self.loss)
        weights[0] = 1.0
        view = [1, 1, 1]
        view[axis] = -1
        return torch.fft.ifft(torch.fft.fft(image, dim=axis) * weights.view(view), dim=axis).abs()


@dataclass(frozen=True, kw_only=True)
class KSpaceSpike(Transform):
    """One point of k-space far too strong, from a spark: stripes across the image (as in the MAGPIE paper's training).

    Parameters
    ----------
    strength
        Amplitude of the stripes relative to the image's mean.
    lines
        Stripes across the image, along each axis at most.
    """

    probability: float = 0.02
    strength: Range = (0.03, 0.2)
    lines: int = 40

    def apply(self, canvas: Canvas, image: torch.Tensor) -> torch.Tensor:
        """Add stripes to an image."""
        chance = canvas.chance
        phase = canvas.zeros() + chance.uniform(0.0, 6.2832)
        for axis, n in enumerate(canvas.shape):
            waves = chance.between(-self.lines, self.lines)
            index = canvas.axis(axis) / (n * canvas.spacing_mm)
            phase = phase + index * (6.2832 * waves)
        return (image + phase.cos_().mul_(chance.uniform(*self.strength) * float(image.mean()))).clamp_min_(
            0.0
        )


@dataclass(frozen=True, kw_only=True)
class PartialFieldOfView(Transform):
    """The lowest or topmost slices were not scanned in this modality.

    Parameters
    ----------
    lost_mm
        How much is missing.
    lower
        Probability that it is the lower end.
    """

    probability: float = 0.02
    lost_mm: Range = (8.0, 40.0)
    lower: float = 0.7

    def apply(self, canvas: Canvas, image: torch.Tensor) -> torch.Tensor:
        """Empty a part of an image."""
        chance = canvas.chance
        lost = min(round(chance.uniform(*self.lost_mm) / canvas.spacing_mm), canvas.shape[2] // 3)
        image = image.clone()
        if chance.happens(self.lower):
            image[..., :lost] = 0.0
        else:
            image[..., canvas.shape[2] - lost :] = 0.0
        return image


@dataclass(frozen=True, kw_only=True)
class RicianNoise(Transform):
    """Noise of a magnitude image, relative to white matter's level (signal-to-noise 10 to 300).

    Parameters
    ----------
    sd, floor
        Deviation of the amplitude, and what is added to it.
    smooth
        Probability that neighboring voxels share it, as after interpolation, which leaves two fifths of it.
    """

    sd: float = 0.02
    floor: float = 0.003
    smooth: float = 0.3

    def apply(self, canvas: Canvas, image: torch.Tensor, level: float) -> torch.Tensor:
        """Add noise to an image whose white matter is at `level`."""
        chance = canvas.chance
        amplitude = (abs(chance.normal(0.0, self.sd)) + self.floor) * level
        noise = chance.normals(2, *canvas.shape)
        if chance.happens(self.smooth):
            noise = torch.stack([canvas.blur(part, 0.85 * canvas.spacing_mm) for part in noise]).mul_(2.1)
        noise.mul_(amplitude)
        return torch.hypot(image + noise[0], noise[1])


@dataclass(frozen=True, kw_only=True)
class Gamma(Transform):
    """The intensity scale bent; the brain's brightest voxel stays where it is."""

    probability: float = 0.35
    exponent: Range = (0.75, 1.35)

    def apply(self, canvas: Canvas, image: torch.Tensor, brain: torch.Tensor) -> torch.Tensor:
        """Bend the scale of an image."""
        top = image[brain].max().clamp_min(1e-3)
        return (image / top).clamp_(0, 1).pow_(canvas.chance.uniform(*self.exponent)).mul_(top)


@dataclass(frozen=True, kw_only=True)
class ImperfectMask(Transform):
    """A brain mask as a skull-stripping tool returns it: eaten into, grown, or with leftovers of the skull.

    Parameters
    ----------
    softness_mm
        Blur of the true mask, which is then cut at a wobbling `level`.
    wobble, wobble_mm
        Amplitude and correlation length of the wobbling.
    """

    probability: float = 0.4
    softness_mm: Range = (1.0, 2.0)
    level: Range = (0.3, 0.62)
    wobble: Range = (0.0, 0.18)
    wobble_mm: Range = (10.0, 30.0)

    def apply(self, canvas: Canvas, brain: torch.Tensor, leftovers: torch.Tensor | None) -> torch.Tensor:
        """(D, H, W) bool."""
        chance, mask = canvas.chance, brain
        if chance.happens(self.probability):
            soft = canvas.blur(brain.float(), chance.uniform(*self.softness_mm))
            wobble = canvas.smooth(chance.uniform(*self.wobble_mm)).mul_(chance.uniform(*self.wobble))
            mask = (soft + wobble > chance.uniform(*self.level)) & (soft > 0.12)
        return mask if leftovers is None else mask | (leftovers > 0.4)
