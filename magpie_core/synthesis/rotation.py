"""Rotation matrices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import reduce

import numpy as np
import torch


def rotation_matrix(angles_rad: Iterable[float]) -> np.ndarray:
    """Return the (3, 3) float64 rotation about the first, second and third axis in turn."""
    return reduce(np.matmul, _axis_rotations(angles_rad), np.eye(3))


def rotation_tensor(angles_rad: Iterable[float]) -> torch.Tensor:
    """Return `rotation_matrix` as (3, 3) float32, multiplied in that precision."""
    steps = (torch.from_numpy(step).float() for step in _axis_rotations(angles_rad))
    return reduce(torch.matmul, steps, torch.eye(3))


def _axis_rotations(angles_rad: Iterable[float]) -> Iterator[np.ndarray]:
    for axis, angle in enumerate(angles_rad):
        i, j = (other for other in range(3) if other != axis)
        step = np.eye(3)
        step[i, i] = step[j, j] = math.cos(angle)
        step[i, j], step[j, i] = -math.sin(angle), math.sin(angle)
        yield step
