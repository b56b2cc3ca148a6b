"""The grid that a sample is drawn on, with its randomness."""

from __future__ import annotations

import math
from functools import cached_property

import torch
import torch.nn.functional as functional

from magpie_core.synthesis.blur import blur
from magpie_core.synthesis.chance import Chance
from magpie_core.synthesis.fields import FieldBank


class Canvas:
    """Grid, randomness and random fields of one sample; every length is in mm.

    Parameters
    ----------
    shape
        (D, H, W) = world R, A, S increasing.
    spacing_mm
        Isotropic voxel size.
    chance
        Where all random numbers come from.
    banks
        Field banks by shape, shared between samples; missing ones are added.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        spacing_mm: float,
        chance: Chance,
        banks: dict[tuple[int, int, int], FieldBank],
    ) -> None:
        self.shape = shape
        self.spacing_mm = spacing_mm
        self.chance = chance
        self._banks = banks

    @cached_property
    def points(self) -> torch.Tensor:
        """(D, H, W, 3) voxel centres in mm from the grid's centre."""
        axes = [(torch.arange(n) - (n - 1) / 2) * self.spacing_mm for n in self.shape]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)

    def axis(self, axis: int) -> torch.Tensor:
        """Voxel centres in mm along one axis, shaped to broadcast over (D, H, W)."""
        n = self.shape[axis]
        view = [1, 1, 1]
        view[axis] = n
        return ((torch.arange(n) - (n - 1) / 2) * self.spacing_mm).view(view)

    def zeros(self) -> torch.Tensor:
        """(D, H, W) zeros, float32."""
        return torch.zeros(self.shape)

    def smooth(self, correlation_mm: float) -> torch.Tensor:
        """Smooth Gaussian field of unit deviation."""
        bank = self._banks.setdefault(self.shape, FieldBank(self.shape))
        return bank.draw(self.chance, correlation_mm / self.spacing_mm)

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

    def coarser(self, target_mm: float = 4.0) -> tuple[Canvas, int]:
        """A canvas of about `target_mm` with the same chance, and how many voxels fall into one of its cells."""
        factor = max(1, round(target_mm / self.spacing_mm))
        depth, height, width = (n // factor for n in self.shape)
        return Canvas((depth, height, width), self.spacing_mm * factor, self.chance, self._banks), factor

    def place(self, weights: torch.Tensor, *, cell: int = 4) -> torch.Tensor:
        """A point (3,) in mm, drawn in proportion to (D, H, W) weights summed over cells of `cell` voxels."""
        coarse = functional.avg_pool3d(weights[None, None], cell)[0, 0]
        flat = self.chance.pick(coarse + 1e-9)
        _, rows, columns = coarse.shape
        index = (flat // (rows * columns), flat // columns % rows, flat % columns)
        corner = [(i + 0.5) * cell - 0.5 - (n - 1) / 2 for i, n in zip(index, self.shape, strict=True)]
        return torch.tensor(corner) * self.spacing_mm + self.chance.normals(3) * 2.0


def pool(volume: torch.Tensor, factor: int) -> torch.Tensor:
    """Mean of (D, H, W) over cubes of `factor` voxels."""
    return functional.avg_pool3d(volume[None, None], factor)[0, 0]
