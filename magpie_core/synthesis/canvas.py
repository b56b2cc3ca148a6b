"""The grid that a sample is drawn on, with its randomness."""

from __future__ import annotations

import math
from functools import cached_property

import torch
import torch.nn.functional as functional

from magpie_core.synthesis.blur import blur
from magpie_core.synthesis.fields import smooth_field
from magpie_core.synthesis.rng import Rng

Box = tuple[slice, slice, slice]


class Canvas:
    """Grid and randomness of one sample; every length and place is in mm, from the middle of the whole grid.

    Parameters
    ----------
    shape
        (D, H, W) = world R, A, S increasing.
    spacing_mm
        Isotropic voxel size.
    chance
        Where all random numbers come from, and whose device is used.
    middle_mm
        Where the middle of this canvas lies, if it is a part of a larger one.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        spacing_mm: float,
        chance: Rng,
        *,
        middle_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> None:
        self.shape = shape
        self.spacing_mm = spacing_mm
        self.chance = chance
        self.middle_mm = middle_mm

    @cached_property
    def points(self) -> torch.Tensor:
        """(3, D, H, W) voxel centers."""
        return torch.stack(torch.broadcast_tensors(*(self.axis(axis) for axis in range(3))))

    def axis(self, axis: int) -> torch.Tensor:
        """Voxel centers along one axis, shaped to broadcast over (D, H, W)."""
        n = self.shape[axis]
        view = [1, 1, 1]
        view[axis] = n
        index = torch.arange(n, device=self.chance.device)
        return ((index - (n - 1) / 2) * self.spacing_mm + self.middle_mm[axis]).view(view)

    def zeros(self) -> torch.Tensor:
        """(D, H, W) zeros, float32."""
        return torch.zeros(self.shape, device=self.chance.device)

    def smooth(self, correlation_mm: float) -> torch.Tensor:
        """Smooth Gaussian field of unit deviation."""
        return smooth_field(self.chance, self.shape, correlation_mm / self.spacing_mm)

    def fractal(self, correlation_mm: float, octaves: int = 3, persistence: float = 0.5) -> torch.Tensor:
        """Sum of smooth fields of halving length and falling amplitude, of unit deviation.

        Octaves finer than a voxel are left out.
        """
        total = self.smooth(correlation_mm)
        power = 1.0
        for octave in range(1, octaves):
            length = correlation_mm / 2**octave
            if length < 1.01 * self.spacing_mm:
                break
            total.add_(self.smooth(length), alpha=persistence**octave)
            power += persistence ** (2 * octave)
        return total.div_(math.sqrt(power))

    def blur(self, volume: torch.Tensor, sigma_mm: float) -> torch.Tensor:
        """Gaussian blur with a deviation in mm."""
        return blur(volume, sigma_mm / self.spacing_mm)

    def distance(self, center: torch.Tensor, matrix: torch.Tensor | None = None) -> torch.Tensor:
        """(D, H, W) distance from a point (3,), after a matrix (3, 3) on the offset if there is one."""
        offsets = [self.axis(axis) - float(center[axis]) for axis in range(3)]
        if matrix is None:
            return (offsets[0] ** 2 + offsets[1] ** 2 + offsets[2] ** 2).sqrt_()
        total = None
        for row in matrix.tolist():
            flat = row[0] * offsets[0] + row[1] * offsets[1]
            part = (flat + row[2] * offsets[2]).square_()
            total = part if total is None else total.add_(part)
        assert total is not None
        return total.sqrt_()

    def coarser(self, target_mm: float = 4.0) -> tuple[Canvas, int]:
        """A canvas of about `target_mm` with the same chance, and how many voxels fall into one of its cells."""
        factor = max(1, round(target_mm / self.spacing_mm))
        depth, height, width = (n // factor for n in self.shape)
        # Cells start at the first voxel; what does not fill a cell is left out at the end.
        middle = tuple(
            at + (count * factor - n) / 2 * self.spacing_mm
            for at, count, n in zip(self.middle_mm, (depth, height, width), self.shape, strict=True)
        )
        coarse = Canvas(
            (depth, height, width),
            self.spacing_mm * factor,
            self.chance,
            middle_mm=(middle[0], middle[1], middle[2]),
        )
        return coarse, factor

    def box_around(self, low_mm: torch.Tensor, high_mm: torch.Tensor, *, multiple: int = 4) -> Box:
        """The voxels between two corners (3,), widened to sizes that are multiples of `multiple`, within the canvas."""
        slices = []
        for axis, n in enumerate(self.shape):
            first = self.middle_mm[axis] - (n - 1) / 2 * self.spacing_mm
            start = math.floor((float(low_mm[axis]) - first) / self.spacing_mm)
            stop = math.ceil((float(high_mm[axis]) - first) / self.spacing_mm) + 1
            start, stop = min(max(start, 0), n - 1), max(min(stop, n), 1)
            size = min(multiple * math.ceil((stop - start) / multiple), n)
            start = min(start, n - size)
            slices.append(slice(start, start + size))
        return slices[0], slices[1], slices[2]

    def window(self, box: Box) -> Canvas:
        """The part of the canvas in a box, with the same chance."""
        middle = [
            at + ((part.start + part.stop - 1) / 2 - (n - 1) / 2) * self.spacing_mm
            for at, part, n in zip(self.middle_mm, box, self.shape, strict=True)
        ]
        shape = tuple(part.stop - part.start for part in box)
        return Canvas(
            (shape[0], shape[1], shape[2]),
            self.spacing_mm,
            self.chance,
            middle_mm=(middle[0], middle[1], middle[2]),
        )

    def place(self, weights: torch.Tensor, *, scatter_mm: float = 2.0) -> torch.Tensor:
        """A point (3,) drawn in proportion to (D, H, W) weights of this canvas, on the CPU."""
        flat = self.chance.pick(weights.clamp_min(0) + 1e-9)
        _, rows, columns = self.shape
        index = (flat // (rows * columns), flat // columns % rows, flat % columns)
        center = [
            at + (i - (n - 1) / 2) * self.spacing_mm + self.chance.normal(0.0, scatter_mm)
            for at, i, n in zip(self.middle_mm, index, self.shape, strict=True)
        ]
        return torch.tensor(center)


def pool(volume: torch.Tensor, factor: int) -> torch.Tensor:
    """Mean of (D, H, W) over cubes of `factor` voxels; what does not fill a cube is left out."""
    if factor == 1:
        return volume
    return functional.avg_pool3d(volume[None, None], factor)[0, 0]
