"""Smooth random fields."""

from __future__ import annotations

import math

import torch

from magpie_core.synthesis.along_axis import along_axis, spline_matrix
from magpie_core.synthesis.rng import Rng

_KNOTS_PER_LENGTH = 1.35


def smooth_field(chance: Rng, shape: tuple[int, int, int], correlation: float) -> torch.Tensor:
    """A Gaussian field (D, H, W) of zero mean and unit deviation.

    Cubic B-splines with independent normal coefficients, evaluated as one small matrix product per axis: cheap at any
    length, smooth, and of the same deviation everywhere.

    Parameters
    ----------
    correlation
        Length in voxels over which the field forgets itself; at least about one.
    """
    spacing = max(correlation, 1.0) / _KNOTS_PER_LENGTH
    knots = [math.ceil((n - 1) / spacing) + 4 for n in shape]
    field = chance.normals(*knots)
    for axis, (n, count) in enumerate(zip(shape, knots, strict=True)):
        start = -spacing * (1.0 + chance.uniform(0.0, 1.0))
        field = along_axis(field, spline_matrix(n, count, spacing, start), axis)
    return field
