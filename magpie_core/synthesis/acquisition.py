"""What the scanner and the preparation of the images add: every effect maps an image (D, H, W) to an image."""

from __future__ import annotations

import torch
import torch.nn.functional as functional

from magpie_core.synthesis.blur import blur
from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.rotation import rotation

Range = tuple[float, float]


def bias_field(
    canvas: Canvas, image: torch.Tensor, *, correlation_mm: Range = (50, 120), sd: float = 0.12
) -> torch.Tensor:
    """Multiply with a slow, smooth field."""
    strength = abs(canvas.chance.normal(0.0, sd))
    return image * canvas.smooth(canvas.chance.uniform(*correlation_mm)).mul_(strength).exp_()


def thick_slices(canvas: Canvas, image: torch.Tensor, *, thickness_mm: Range = (2.0, 6.5)) -> torch.Tensor:
    """Average over thick slices along a random axis, then interpolate back."""
    chance = canvas.chance
    axis = chance.below(3)
    thickness = chance.uniform(*thickness_mm) / canvas.spacing_mm
    if thickness <= 1.2:
        return image
    size = list(canvas.shape)
    size[axis] = max(8, round(size[axis] / thickness))
    if chance.happens(0.7):
        slices = functional.interpolate(image[None, None], size=size, mode="area")
    else:
        sigma = [0.3 * thickness if other == axis else 0.0 for other in range(3)]
        slices = functional.interpolate(
            blur(image, sigma)[None, None], size=size, mode="trilinear", align_corners=False
        )
    if chance.happens(0.9):
        return functional.interpolate(slices, size=canvas.shape, mode="trilinear", align_corners=False)[0, 0]
    return functional.interpolate(slices, size=canvas.shape, mode="nearest")[0, 0]


def soften(canvas: Canvas, image: torch.Tensor, *, sigma_mm: Range = (0.4, 1.1)) -> torch.Tensor:
    """Blur a little."""
    return canvas.blur(image, canvas.chance.uniform(*sigma_mm))


def misregister(
    canvas: Canvas,
    image: torch.Tensor,
    *,
    shift_sd_mm: float = 0.5,
    turned: float = 0.3,
    turn_sd: float = 0.012,
) -> torch.Tensor:
    """Shift, and sometimes turn, as imperfect registration to the other sequences leaves it."""
    chance = canvas.chance
    transform = torch.eye(3, 4)
    for axis in range(3):
        shift = chance.normal(0.0, shift_sd_mm) / canvas.spacing_mm
        transform[axis, 3] = 2 * shift / canvas.shape[2 - axis]
    if chance.happens(turned):
        transform[:3, :3] = rotation(tuple(chance.normal(0.0, turn_sd) for _ in range(3)))
    grid = functional.affine_grid(transform[None], [1, 1, *canvas.shape], align_corners=False)
    return functional.grid_sample(image[None, None], grid, align_corners=False)[0, 0]


def ghost(
    canvas: Canvas, image: torch.Tensor, *, period: tuple[int, int] = (2, 5), loss: Range = (0.7, 0.95)
) -> torch.Tensor:
    """Weaken every few lines of k-space along a random axis, as periodic motion does."""
    chance = canvas.chance
    axis = chance.below(3)
    weights = torch.ones(canvas.shape[axis])
    weights[:: chance.between(*period)] = chance.uniform(*loss)
    weights[0] = 1.0
    view = [1, 1, 1]
    view[axis] = -1
    return torch.fft.ifft(torch.fft.fft(image, dim=axis) * weights.view(view), dim=axis).abs()


def rician_noise(
    canvas: Canvas,
    image: torch.Tensor,
    *,
    level: float,
    sd: float = 0.02,
    floor: float = 0.003,
    smooth: float = 0.3,
) -> torch.Tensor:
    """Add noise to both channels of the complex signal and take its magnitude; `level` is white matter's."""
    chance = canvas.chance
    amplitude = (abs(chance.normal(0.0, sd)) + floor) * level
    noise = chance.normals(2, *canvas.shape)
    if chance.happens(smooth):
        noise = functional.avg_pool3d(noise[None], 3, 1, 1)[0] * 2.1
    noise.mul_(amplitude)
    return torch.hypot(image + noise[0], noise[1])


def gamma(
    canvas: Canvas, image: torch.Tensor, brain: torch.Tensor, *, exponent: Range = (0.75, 1.35)
) -> torch.Tensor:
    """Bend the intensity scale; the brain's brightest voxel stays where it is."""
    top = image[brain].max().clamp_min(1e-3)
    return (image / top).clamp_(0, 1).pow_(canvas.chance.uniform(*exponent)).mul_(top)


def acquire(canvas: Canvas, image: torch.Tensor, *, level: float) -> torch.Tensor:
    """Apply the scanner's effects to one image (D, H, W) whose white matter is at `level`."""
    chance = canvas.chance
    image = bias_field(canvas, image.clamp_min(0.0))
    if chance.happens(0.4):
        image = thick_slices(canvas, image)
    if chance.happens(0.4):
        image = soften(canvas, image)
    if chance.happens(0.5):
        image = misregister(canvas, image)
    if chance.happens(0.12):
        image = ghost(canvas, image)
    return rician_noise(canvas, image, level=level)


def imperfect_mask(
    canvas: Canvas, brain: torch.Tensor, leftovers: torch.Tensor | None, *, probability: float = 0.4
) -> torch.Tensor:
    """Brain mask (D, H, W) bool as a skull-stripping tool might return it: eaten into, grown, or with leftovers."""
    chance, mask = canvas.chance, brain
    if chance.happens(probability):
        soft = canvas.blur(brain.float(), chance.uniform(1.0, 2.0))
        wobble = canvas.smooth(chance.uniform(10.0, 30.0)).mul_(chance.uniform(0.0, 0.18))
        mask = (soft + wobble > chance.uniform(0.3, 0.62)) & (soft > 0.12)
    return mask if leftovers is None else mask | (leftovers > 0.4)
