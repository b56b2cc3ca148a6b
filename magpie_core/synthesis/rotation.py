"""Rotation matrices."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch


def rotation(angles: Iterable[float]) -> torch.Tensor:
    """(3, 3) rotation about the first, second and third axis in turn; angles in radians."""
    matrix = torch.eye(3)
    for axis, angle in enumerate(angles):
        i, j = (other for other in range(3) if other != axis)
        turn = torch.eye(3)
        turn[i, i] = turn[j, j] = math.cos(angle)
        turn[i, j], turn[j, i] = -math.sin(angle), math.sin(angle)
        matrix = matrix @ turn
    return matrix
