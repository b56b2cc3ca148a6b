"""Artifacts of scanners and of preprocessing, for synthetic studies and for augmentation.

Every transform maps an image (D, H, W) to an image. The grid and the randomness come from a `Canvas`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as functional

from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.transform import Count, Range, Transform
from magpie_core.synthesis.volume_operations import (
    along_axis,
    averaging_matrix,
    rotation_tensor,
    shift_matrix,
    upsampling_matrix,
)


@dataclass(frozen=True, kw_only=True)
class BiasField(Transform):
    """Smooth multiplicative field of a receiver coil.

    Args:
        correlation_mm: Correlation length of the log field.
        sd: Deviation from which the log field's own deviation is drawn.
    """

    correlation_mm: Range = (50.0, 120.0)
    sd: float = 0.12

    def apply(self, canvas: Canvas, image: torch.Tensor) -> torch.Tensor:
        """Multiply an image by a random field."""
        strength = abs(canvas.rng.normal(0.0, self.sd))
        return image * canvas.smooth_noise(canvas.rng.uniform(*self.correlation_mm)).mul_(strength).exp_()


def average_slices(image: torch.Tensor, axis: int, count: int, *, nearest: bool = False) -> torch.Tensor:
    """Average an image (D, H, W) over `count` thick slices along an axis and interpolate it back to its grid.

    Args:
        nearest: Repeat slices instead of interpolating between them linearly.
    """
    size = image.shape[axis]
    averaging = averaging_matrix(count, size)
    if nearest:
        back = (averaging.T > 0).float()
        back = back / back.sum(1, keepdim=True)
    else:
        back = upsampling_matrix(size, count)
    return along_axis(image, back @ averaging, axis)


def apply_gamma(image: torch.Tensor, exponent: float, low: float | torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Raise an image, scaled from [low, high] to [0, 1] and clipped there, to a power, and scale it back."""
    span = (high - low).clamp_min(1e-3)
    return ((image - low) / span).clamp_(0, 1).pow_(exponent).mul_(span).add_(low)


@dataclass(frozen=True, kw_only=True)
class ThickSlices(Transform):
    """Thick slices along a random axis, interpolated back as in preprocessing (clinical FLAIR: 2 to 6 mm).

    Args:
        nearest: Probability that slices are repeated rather than interpolated.
    """

    probability: float = 0.4
    thickness_mm: Range = (2.0, 6.5)
    nearest: float = 0.1

    def apply(self, canvas: Canvas, image: torch.Tensor) -> torch.Tensor:
        """Average over slices, then interpolate."""
        rng = canvas.rng
        axis = rng.randint(0, 2)
        thickness = rng.uniform(*self.thickness_mm) / canvas.spacing_mm
        if thickness <= 1.2:
            return image
        slices = max(8, round(canvas.shape[axis] / thickness))
        return average_slices(image, axis, slices, nearest=rng.bernoulli(self.nearest))


@dataclass(frozen=True, kw_only=True)
class Blur(Transform):
    """Gaussian blur, as after interpolation."""

    probability: float = 0.4
    sigma_mm: Range = (0.4, 1.1)

    def apply(self, canvas: Canvas, image: torch.Tensor) -> torch.Tensor:
        """Blur an image."""
        return canvas.blur(image, canvas.rng.uniform(*self.sigma_mm))


@dataclass(frozen=True, kw_only=True)
class Misregistration(Transform):
    """Residual shift, and sometimes rotation, after imperfect co-registration to the other modalities.

    Args:
        shift_sd_mm: Deviation of the shift along each axis.
        rotated, rotation_sd: Probability of a rotation, and the deviation of its angles in radians.
    """

    probability: float = 0.5
    shift_sd_mm: float = 0.5
    rotated: float = 0.3
    rotation_sd: float = 0.012

    def apply(self, canvas: Canvas, image: torch.Tensor) -> torch.Tensor:
        """Shift and rotate an image."""
        rng = canvas.rng
        shifts = [rng.normal(0.0, self.shift_sd_mm) / canvas.spacing_mm for _ in range(3)]
        if not rng.bernoulli(self.rotated):
            for axis, shift in enumerate(shifts):
                image = along_axis(image, shift_matrix(canvas.shape[axis], shift), axis)
            return image
        theta = torch.zeros(3, 4)
        theta[:, :3] = rotation_tensor(rng.normal(0.0, self.rotation_sd) for _ in range(3))
        for axis, shift in enumerate(shifts):
            theta[2 - axis, 3] = 2 * shift / canvas.shape[axis]
        grid = functional.affine_grid(theta[None].to(image.device), [1, 1, *canvas.shape], align_corners=False)
        return functional.grid_sample(image[None, None], grid, align_corners=False)[0, 0]


@dataclass(frozen=True, kw_only=True)
class Ghosting(Transform):
    """Ghosts of periodic motion: every few lines of k-space weakened along a random axis.

    Args:
        period: Distance of the weakened lines.
        gain: Factor on the weakened lines.
    """

    probability: float = 0.12
    period: Count = (2, 5)
    gain: Range = (0.7, 0.95)

    def apply(self, canvas: Canvas, image: torch.Tensor) -> torch.Tensor:
        """Add ghosts to an image."""
        rng = canvas.rng
        axis = rng.randint(0, 2)
        weights = torch.ones(canvas.shape[axis], device=image.device)
        weights[:: rng.randint(*self.period)] = rng.uniform(*self.gain)
        weights[0] = 1.0
        view = [1, 1, 1]
        view[axis] = -1
        return torch.fft.ifft(torch.fft.fft(image, dim=axis) * weights.view(view), dim=axis).abs()


@dataclass(frozen=True, kw_only=True)
class KSpaceSpike(Transform):
    """One far too strong point of k-space: stripes across the image (as in the MAGPIE paper's training).

    Args:
        strength: Amplitude of the stripes relative to the image's mean.
        lines: Greatest number of stripes along each axis.
    """

    probability: float = 0.02
    strength: Range = (0.03, 0.2)
    lines: int = 40

    def apply(self, canvas: Canvas, image: torch.Tensor) -> torch.Tensor:
        """Add stripes to an image of positive intensities."""
        return (image + self.stripes(canvas, float(image.mean()))).clamp_min_(0.0)

    def stripes(self, canvas: Canvas, level: float) -> torch.Tensor:
        """Draw stripes (D, H, W) of an amplitude relative to `level`."""
        rng = canvas.rng
        phase = canvas.zeros() + rng.uniform(0.0, 6.2832)
        for axis, n in enumerate(canvas.shape):
            waves = rng.randint(-self.lines, self.lines)
            index = canvas.axis(axis) / (n * canvas.spacing_mm)
            phase = phase + index * (6.2832 * waves)
        return phase.cos_().mul_(rng.uniform(*self.strength) * level)


@dataclass(frozen=True, kw_only=True)
class PartialFieldOfView(Transform):
    """Lowest or topmost slices missing in one modality.

    Args:
        missing_mm: Extent of the missing part.
        lower: Probability that the lower end is missing.
    """

    probability: float = 0.02
    missing_mm: Range = (8.0, 40.0)
    lower: float = 0.7

    def apply(self, canvas: Canvas, image: torch.Tensor) -> torch.Tensor:
        """Set the missing slices of an image to 0."""
        rng = canvas.rng
        missing = min(round(rng.uniform(*self.missing_mm) / canvas.spacing_mm), canvas.shape[2] // 3)
        image = image.clone()
        image[..., slice(missing) if rng.bernoulli(self.lower) else slice(canvas.shape[2] - missing, None)] = 0.0
        return image


@dataclass(frozen=True, kw_only=True)
class RicianNoise(Transform):
    """Rician noise of a magnitude image, relative to the level of white matter (signal-to-noise ratio 10 to 300).

    Args:
        sd, floor: Deviation of the amplitude, and a constant added to it.
        smooth: Probability that the noise is correlated between neighbors, as after interpolation; two fifths of it are
            left.
    """

    sd: float = 0.02
    floor: float = 0.003
    smooth: float = 0.3

    def apply(self, canvas: Canvas, image: torch.Tensor, level: float) -> torch.Tensor:
        """Add noise to an image whose white matter is at `level`."""
        rng = canvas.rng
        amplitude = (abs(rng.normal(0.0, self.sd)) + self.floor) * level
        noise = rng.randn(2, *canvas.shape)
        if rng.bernoulli(self.smooth):
            noise = torch.stack([canvas.blur(part, 0.85 * canvas.spacing_mm) for part in noise]).mul_(2.1)
        noise.mul_(amplitude)
        return torch.hypot(image + noise[0], noise[1])


@dataclass(frozen=True, kw_only=True)
class Gamma(Transform):
    """Gamma curve on the intensities; the brightest voxel of the brain keeps its value."""

    probability: float = 0.35
    exponent: Range = (0.75, 1.35)

    def apply(self, canvas: Canvas, image: torch.Tensor, brain: torch.Tensor) -> torch.Tensor:
        """Raise the intensities of an image to a random power."""
        return apply_gamma(image, canvas.rng.uniform(*self.exponent), 0.0, image[brain].max())


@dataclass(frozen=True, kw_only=True)
class ImperfectMask(Transform):
    """A brain mask as a brain-extraction tool returns it: eroded, dilated, or with residual skull.

    Args:
        softness_mm: Blur of the true mask before it is thresholded.
        level: Threshold.
        noise, noise_mm: Amplitude and correlation length of the threshold's variation.
    """

    probability: float = 0.4
    softness_mm: Range = (1.0, 2.0)
    level: Range = (0.3, 0.62)
    noise: Range = (0.0, 0.18)
    noise_mm: Range = (10.0, 30.0)

    def apply(self, canvas: Canvas, brain: torch.Tensor, residual_skull: torch.Tensor | None) -> torch.Tensor:
        """Return a mask (D, H, W) bool of a true mask (D, H, W) bool."""
        rng, mask = canvas.rng, brain
        if rng.bernoulli(self.probability):
            soft = canvas.blur(brain.float(), rng.uniform(*self.softness_mm))
            noise = canvas.smooth_noise(rng.uniform(*self.noise_mm)).mul_(rng.uniform(*self.noise))
            mask = (soft + noise > rng.uniform(*self.level)) & (soft > 0.12)
        return mask if residual_skull is None else mask | (residual_skull > 0.4)


@dataclass(frozen=True, kw_only=True)
class AcquisitionTransforms:
    """Transforms from a noise-free image to that of a scanner."""

    bias_field: BiasField = BiasField()
    thick_slices: ThickSlices = ThickSlices()
    blur: Blur = Blur()
    misregistration: Misregistration = Misregistration()
    ghosting: Ghosting = Ghosting()
    k_space_spike: KSpaceSpike = KSpaceSpike()
    partial_field_of_view: PartialFieldOfView = PartialFieldOfView()
    rician_noise: RicianNoise = RicianNoise()
    gamma: Gamma = Gamma()
    imperfect_mask: ImperfectMask = ImperfectMask()

    def acquire(
        self, canvas: Canvas, image: torch.Tensor, mask: torch.Tensor, *, level: float, quantitative: bool
    ) -> torch.Tensor:
        """Add artifacts to one image (D, H, W) whose white matter is at `level`; ADC is `quantitative`.

        A quantitative map has no bias field and no gamma.
        """
        rng = canvas.rng
        image = image.clamp_min_(0.0)
        steps = (self.bias_field, self.thick_slices, self.blur, self.misregistration, self.ghosting, self.k_space_spike)
        for transform in steps:
            if rng.bernoulli(transform.probability) and not (quantitative and transform is self.bias_field):
                image = transform.apply(canvas, image)
        if rng.bernoulli(self.rician_noise.probability):
            image = self.rician_noise.apply(canvas, image, level)
        if not quantitative and rng.bernoulli(self.gamma.probability):
            image = self.gamma.apply(canvas, image, mask)
        image = image.clamp_min_(1e-4)
        if rng.bernoulli(self.partial_field_of_view.probability):
            image = self.partial_field_of_view.apply(canvas, image)
        return image
