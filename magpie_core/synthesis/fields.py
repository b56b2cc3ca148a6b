"""A bank of smooth random fields."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as functional

from magpie_core.synthesis.chance import Chance

CORRELATIONS = (1.5, 2.2, 3.2, 4.6, 6.6, 9.5, 14.0, 20.0, 30.0, 45.0, 65.0, 90.0)


class FieldBank:
    """Smooth Gaussian fields of one shape, drawn quickly as mixtures of crops of a few stored larger fields.

    Making a field costs far more than cropping one. The bank itself is the same in every process; which
    crops, flips, signs and mixing angle are used is the sample's own chance.

    Parameters
    ----------
    shape
        (D, H, W) of the fields to draw.
    fields
        Stored fields per correlation length.
    margin
        Size of a stored field relative to `shape`.
    """

    def __init__(self, shape: tuple[int, int, int], *, fields: int = 3, margin: float = 1.35) -> None:
        self.shape = shape
        self._fields = fields
        self._stored_shape = tuple(int(n * margin) for n in shape)
        self._stored: dict[int, list[torch.Tensor]] = {}

    def draw(self, chance: Chance, correlation: float) -> torch.Tensor:
        """A (D, H, W) field of about zero mean and unit deviation.

        Parameters
        ----------
        correlation
            Length in voxels; the nearest of the bank's lengths is taken.
        """
        wanted = math.log(max(correlation, 1.0))
        index = min(range(len(CORRELATIONS)), key=lambda i: abs(math.log(CORRELATIONS[i]) - wanted))
        if index not in self._stored:
            self._stored[index] = [self._make(index, number) for number in range(self._fields)]
        angle = chance.uniform(0.0, 2 * math.pi)
        first, second = self._crop(chance, index), self._crop(chance, index)
        return first.mul_(math.cos(angle)).add_(second, alpha=math.sin(angle))

    def _crop(self, chance: Chance, index: int) -> torch.Tensor:
        field = self._stored[index][chance.below(self._fields)]
        for axis, (large, small) in enumerate(zip(self._stored_shape, self.shape, strict=True)):
            field = field.narrow(axis, chance.below(large - small + 1), small)
        axes = [axis for axis in range(3) if chance.happens(0.5)]
        return (field.flip(axes) if axes else field).float().contiguous()

    def _make(self, index: int, number: int) -> torch.Tensor:
        chance, length = Chance("field bank", index, number), CORRELATIONS[index]
        coarse = [max(4, math.ceil(n / length) + 2) for n in self._stored_shape]
        noise = chance.normals(1, 1, *coarse)
        size = [math.ceil(n * length) for n in coarse]
        field = functional.interpolate(noise, size=size, mode="trilinear", align_corners=False)[0, 0]
        start = int(length / 2)
        for axis, n in enumerate(self._stored_shape):
            field = field.narrow(axis, start, n)
        return ((field - field.mean()) / (field.std() + 1e-6)).half()
