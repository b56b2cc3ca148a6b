"""Arrival times of a front that spreads from a seed."""

from __future__ import annotations

import itertools
import math

import torch


def front_propagation(
    speed: torch.Tensor, seed: torch.Tensor, *, spacing_mm: float, sweeps: int = 12, slowest: float = 0.02
) -> torch.Tensor:
    """Return first-arrival times by min-plus relaxation over 26 neighbors.

    Args:
        speed: (D, H, W) relative speed, clipped at `slowest`.
        seed: (D, H, W) bool, where the time is 0.
        sweeps: Number of relaxations; each advances the front by at least one voxel in every direction.

    Returns:
        (D, H, W) time in mm / speed; 1e4 where the front did not arrive.
    """
    slowness = 1.0 / speed.clamp_min(slowest)
    time = torch.where(seed, 0.0, torch.full_like(speed, 1e4))
    steps = []
    for offset in itertools.product((-1, 0, 1), repeat=3):
        if offset <= (0, 0, 0):
            continue
        here = tuple(slice(max(o, 0), n + min(o, 0)) for o, n in zip(offset, speed.shape, strict=True))
        there = tuple(slice(max(-o, 0), n + min(-o, 0)) for o, n in zip(offset, speed.shape, strict=True))
        length = spacing_mm * math.sqrt(sum(o * o for o in offset))
        steps.append((here, there, 0.5 * length * (slowness[here] + slowness[there])))
    for _ in range(sweeps):
        for here, there, cost in steps:
            from_there, from_here = time[there] + cost, time[here] + cost
            torch.minimum(time[here], from_there, out=time[here])
            torch.minimum(time[there], from_here, out=time[there])
    return time
