"""The grid that a sample is drawn on, with its randomness."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch

from magpie_core.synthesis.rng import Rng
from magpie_core.synthesis.volume_operations import along_axis, blur, spline_matrix

Box = tuple[slice, ...]
_KNOTS_PER_LENGTH = 1.35
_BOX_MULTIPLE = 4


@dataclass(eq=False)
class Canvas:
    """Grid and randomness of one sample; lengths and positions in mm from the center of the whole grid.

    Args:
        shape: (D, H, W) = world R, A, S increasing.
        spacing_mm: Isotropic voxel size.
        rng: Source of all random numbers; tensors are on its device.
        center_mm: Center of this canvas, if it is a part of a larger one.
    """

    shape: tuple[int, ...]
    spacing_mm: float
    rng: Rng
    center_mm: tuple[float, ...] = (0.0, 0.0, 0.0)

    @cached_property
    def points(self) -> torch.Tensor:
        """Voxel centers (3, D, H, W)."""
        return torch.stack(torch.broadcast_tensors(*(self.axis(axis) for axis in range(3))))

    def axis(self, axis: int) -> torch.Tensor:
        """Return voxel centers along one axis, shaped to broadcast over (D, H, W)."""
        n = self.shape[axis]
        view = [1, 1, 1]
        view[axis] = n
        index = torch.arange(n, device=self.rng.device)
        return ((index - (n - 1) / 2) * self.spacing_mm + self.center_mm[axis]).view(view)

    def zeros(self) -> torch.Tensor:
        """Return (D, H, W) zeros, float32."""
        return torch.zeros(self.shape, device=self.rng.device)

    def smooth_noise(self, correlation_mm: float) -> torch.Tensor:
        """Draw a smooth Gaussian field (D, H, W) of zero mean and unit deviation.

        Cubic B-splines with independent normal coefficients, evaluated as one small matrix product per axis: cheap at
        any length, smooth, and of the same deviation everywhere. Lengths below a voxel count as one.
        """
        spacing = max(correlation_mm / self.spacing_mm, 1.0) / _KNOTS_PER_LENGTH
        knots = [math.ceil((n - 1) / spacing) + 4 for n in self.shape]
        field = self.rng.randn(*knots)
        for axis, (n, count) in enumerate(zip(self.shape, knots, strict=True)):
            start = -spacing * (1.0 + self.rng.uniform(0.0, 1.0))
            field = along_axis(field, spline_matrix(n, count, spacing, start), axis)
        return field

    def fractal_noise(self, correlation_mm: float, octaves: int = 3, persistence: float = 0.5) -> torch.Tensor:
        """Draw a sum (D, H, W) of smooth fields of halving length and decaying amplitude, of unit deviation.

        Octaves finer than a voxel are left out.
        """
        total = self.smooth_noise(correlation_mm)
        power = 1.0
        for octave in range(1, octaves):
            length = correlation_mm / 2**octave
            if length < 1.01 * self.spacing_mm:
                break
            total.add_(self.smooth_noise(length), alpha=persistence**octave)
            power += persistence ** (2 * octave)
        return total.div_(math.sqrt(power))

    def blur(self, volume: torch.Tensor, sigma_mm: float) -> torch.Tensor:
        """Blur a volume with a Gaussian of a deviation in mm."""
        return blur(volume, sigma_mm / self.spacing_mm)

    def distance(self, center: torch.Tensor, matrix: torch.Tensor | None = None) -> torch.Tensor:
        """Return the distance (D, H, W) from a point (3,), after a matrix (3, 3) on the offset if there is one."""
        x, y, z = (self.axis(axis) - float(center[axis]) for axis in range(3))
        if matrix is None:
            return (x**2 + y**2 + z**2).sqrt_()
        first, second, third = ((row[0] * x + row[1] * y + row[2] * z).square_() for row in matrix.tolist())
        return first.add_(second).add_(third).sqrt_()

    def coarser(self, target_mm: float = 4.0) -> tuple[Canvas, int]:
        """Return a canvas of about `target_mm` with the same rng, and its voxels' edge in voxels of this one."""
        factor = max(1, round(target_mm / self.spacing_mm))
        shape = tuple(n // factor for n in self.shape)
        # Cells start at the first voxel; an incomplete cell at the end is dropped.
        middle = tuple(
            at + (count * factor - n) / 2 * self.spacing_mm
            for at, count, n in zip(self.center_mm, shape, self.shape, strict=True)
        )
        return Canvas(shape, self.spacing_mm * factor, self.rng, middle), factor

    def box_around(self, low_mm: torch.Tensor, high_mm: torch.Tensor) -> Box:
        """Return the box between two corners (3,), padded to multiples of 4 voxels within the canvas."""
        box = []
        for axis, n in enumerate(self.shape):
            first = self.center_mm[axis] - (n - 1) / 2 * self.spacing_mm
            start = math.floor((float(low_mm[axis]) - first) / self.spacing_mm)
            stop = math.ceil((float(high_mm[axis]) - first) / self.spacing_mm) + 1
            start, stop = min(max(start, 0), n - 1), max(min(stop, n), 1)
            size = min(_BOX_MULTIPLE * math.ceil((stop - start) / _BOX_MULTIPLE), n)
            start = min(start, n - size)
            box.append(slice(start, start + size))
        return tuple(box)

    def crop(self, box: Box) -> Canvas:
        """Return the part of the canvas in a box, with the same rng."""
        middle = tuple(
            at + ((part.start + part.stop - 1) / 2 - (n - 1) / 2) * self.spacing_mm
            for at, part, n in zip(self.center_mm, box, self.shape, strict=True)
        )
        return Canvas(tuple(part.stop - part.start for part in box), self.spacing_mm, self.rng, middle)

    def draw_point(self, weights: torch.Tensor, *, scatter_mm: float = 2.0) -> torch.Tensor:
        """Draw a point (3,) in proportion to (D, H, W) weights of this canvas, on the CPU."""
        flat = self.rng.weighted_index(weights.clamp_min(0) + 1e-9)
        _, rows, columns = self.shape
        index = (flat // (rows * columns), flat // columns % rows, flat % columns)
        center = [
            at + (i - (n - 1) / 2) * self.spacing_mm + self.rng.normal(0.0, scatter_mm)
            for at, i, n in zip(self.center_mm, index, self.shape, strict=True)
        ]
        return torch.tensor(center)
