"""Rotation matrices."""

from __future__ import annotations

import math

import torch


def rotation(angles: tuple[float, float, float]) -> torch.Tensor:
    """(3, 3) rotation about the first, second and third axis in turn; angles in radians."""
    matrix = torch.eye(3)
    for axis, angle in enumerate(angles):
        i, j = (other for other in range(3) if other != axis)
        turn = torch.eye(3)
        turn[i, i] = turn[j, j] = math.cos(angle)
        turn[i, j], turn[j, i] = -math.sin(angle), math.sin(angle)
        matrix = matrix @ turn
    return matrix
