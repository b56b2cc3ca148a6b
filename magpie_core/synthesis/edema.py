"""Edema as a front that propagates along white matter."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch

from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.tissue import HeadTissue as T
from magpie_core.synthesis.transform import Range, Transform
from magpie_core.synthesis.volume_operations import pool, upsample

# Propagation speed relative to white matter; cortex is drawn from `cortex_speed`.
_SPEEDS = {
    T.WHITE_MATTER: 1.0,
    T.WHITE_MATTER_LESION: 0.85,
    T.STRIATUM: 0.45,
    T.PALLIDUM: 0.4,
    T.THALAMUS: 0.35,
    T.HIPPOCAMPUS: 0.25,
    T.CEREBELLAR_WHITE_MATTER: 0.4,
    T.CEREBELLAR_CORTEX: 0.15,
    T.BRAINSTEM: 0.3,
    T.SULCAL_CSF: 0.03,
    T.VENTRICLE: 0.03,
    T.CHOROID_PLEXUS: 0.03,
}
_MIN_SPEED = 0.02
_SWEEPS = 12  # relaxations; each advances the front by at least one voxel in every direction


@dataclass(frozen=True, kw_only=True)
class EdemaFront(Transform):
    """Edema: the region that a front from the core reaches within a distance, fast in white matter, slow elsewhere.

    This makes it finger-like and lets it cross the corpus callosum, as vasogenic edema and infiltration do
    (reaction-diffusion models of glioma growth have a similar ratio of gray to white matter, 1 to 5 or 10). The
    distance depends on the phenotype.

    Args:
        cortex_speed: Speed of the cortex relative to white matter.
        speed_noise, speed_mm: Log deviation of the speed in space, which makes fingers, and its correlation length.
        gray_delay_mm: Delay outside white matter.
        edge_mm: Softness of the edge.
        edge_noise, edge_noise_mm: Deviation of the front in mm, and its correlation length.
    """

    cortex_speed: Range = (0.12, 0.35)
    speed_noise: float = 0.45
    speed_mm: Range = (6.0, 12.0)
    gray_delay_mm: Range = (0.0, 7.0)
    edge_mm: Range = (0.3, 2.2)
    edge_noise: Range = (0.3, 1.5)
    edge_noise_mm: Range = (5.0, 10.0)

    def spread(
        self, canvas: Canvas, tissues: torch.Tensor, brain: torch.Tensor, core: torch.Tensor, *, reach_mm: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Grow edema around a core.

        Args:
            tissues, brain, core: (16, D, H, W) probabilities, (D, H, W) bool, and the core's extent in [0, 1].
            reach_mm: Distance covered in white matter.

        Returns:
            edema: (D, H, W) in [0, 1].
            depth: (D, H, W): 0 where the front starts, 1 where it ends.
        """
        rng = canvas.rng
        coarse, factor = canvas.coarser()
        speed = tissues[T.CORTEX] * rng.uniform(*self.cortex_speed)
        for tissue, relative in _SPEEDS.items():
            speed.add_(tissues[tissue], alpha=relative)
        noise = coarse.fractal_noise(rng.uniform(*self.speed_mm), 3, 0.6).mul_(self.speed_noise)
        seed = pool(core, factor)
        seed = seed > min(0.4, 0.9 * float(seed.max()))
        time = front_propagation(pool(speed, factor) * noise.exp_(), seed, spacing_mm=coarse.spacing_mm)
        time = upsample(time.clamp_max_(80.0), canvas.shape, factor)

        outside_white = 1.0 - tissues[T.WHITE_MATTER] - tissues[T.WHITE_MATTER_LESION]
        for tissue in (T.STRIATUM, T.THALAMUS, T.PALLIDUM, T.BRAINSTEM, T.CEREBELLAR_WHITE_MATTER):
            outside_white.sub_(tissues[tissue], alpha=0.6)
        time.sub_(0.8 * canvas.spacing_mm).add_(outside_white, alpha=rng.uniform(*self.gray_delay_mm))
        front_noise = canvas.fractal_noise(rng.uniform(*self.edge_noise_mm), 2)
        time.add_(front_noise, alpha=rng.uniform(*self.edge_noise))
        fluid = tissues[T.SULCAL_CSF] + tissues[T.VENTRICLE] + tissues[T.CHOROID_PLEXUS]
        edema = torch.sigmoid((reach_mm - time) / rng.uniform(*self.edge_mm))
        edema.mul_(brain).mul_(1.0 - fluid.clamp_(0, 1)).mul_(1.0 - core)
        return edema, time.div_(max(reach_mm, 1.0)).clamp_(0.0, 1.0)


def front_propagation(speed: torch.Tensor, seed: torch.Tensor, *, spacing_mm: float) -> torch.Tensor:
    """Return first-arrival times by min-plus relaxation over 26 neighbors.

    Args:
        speed: (D, H, W) relative speed, clipped at 0.02.
        seed: (D, H, W) bool, where the time is 0.

    Returns:
        (D, H, W) time in mm / speed; 1e4 where the front did not arrive.
    """
    slowness = 1.0 / speed.clamp_min(_MIN_SPEED)
    time = torch.where(seed, 0.0, torch.full_like(speed, 1e4))
    steps = []
    for offset in itertools.product((-1, 0, 1), repeat=3):
        if offset <= (0, 0, 0):
            continue
        here = tuple(slice(max(o, 0), n + min(o, 0)) for o, n in zip(offset, speed.shape, strict=True))
        there = tuple(slice(max(-o, 0), n + min(-o, 0)) for o, n in zip(offset, speed.shape, strict=True))
        length = spacing_mm * math.sqrt(sum(o * o for o in offset))
        steps.append((here, there, 0.5 * length * (slowness[here] + slowness[there])))
    for _ in range(_SWEEPS):
        for here, there, cost in steps:
            from_there, from_here = time[there] + cost, time[here] + cost
            torch.minimum(time[here], from_there, out=time[here])
            torch.minimum(time[there], from_here, out=time[there])
    return time
