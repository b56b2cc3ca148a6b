"""Edema that runs along the white matter."""

from __future__ import annotations

import torch
import torch.nn.functional as functional

from magpie_core.synthesis.arrival_time import arrival_time
from magpie_core.synthesis.canvas import Canvas, pool
from magpie_core.synthesis.tissue import HeadTissue as T

SPEEDS = {
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


def spread_edema(
    canvas: Canvas,
    tissues: torch.Tensor,
    brain: torch.Tensor,
    core: torch.Tensor,
    *,
    reach_mm: float,
    cortex_speed: tuple[float, float] = (0.12, 0.35),
    speed_noise: float = 0.45,
    grey_delay_mm: tuple[float, float] = (0.0, 7.0),
    edge_mm: tuple[float, float] = (0.3, 2.2),
) -> tuple[torch.Tensor, torch.Tensor]:
    """Edema around a core, as the part that a front from the core reaches first.

    Parameters
    ----------
    tissues, brain, core
        (16, D, H, W) probabilities, (D, H, W) bool, and the core's extent in [0, 1].
    reach_mm
        Distance covered in white matter.
    cortex_speed
        Range of the cortex's speed relative to white matter.
    speed_noise
        Log deviation of the speed from place to place, which makes fingers.
    grey_delay_mm
        Range of the delay outside white matter.
    edge_mm
        Range of the edge's softness.

    Returns
    -------
    edema
        (D, H, W) in [0, 1].
    depth
        (D, H, W): 0 where the front starts, 1 where it ends.
    """
    chance = canvas.chance
    coarse, factor = canvas.coarser()
    speed = tissues[T.CORTEX] * chance.uniform(*cortex_speed)
    for tissue, relative in SPEEDS.items():
        speed.add_(tissues[tissue], alpha=relative)
    noise = coarse.fractal(chance.uniform(6.0, 12.0), 3, 0.6).mul_(speed_noise)
    seed = pool(core, factor)
    seed = seed > min(0.4, 0.9 * float(seed.max()))
    time = arrival_time(pool(speed, factor) * torch.exp(noise), seed, spacing_mm=coarse.spacing_mm)
    time = functional.interpolate(
        time.clamp_max(80.0)[None, None], size=canvas.shape, mode="trilinear", align_corners=False
    )[0, 0]

    deep = tissues[T.STRIATUM] + tissues[T.THALAMUS] + tissues[T.PALLIDUM] + tissues[T.BRAINSTEM]
    deep = deep + tissues[T.CEREBELLAR_WHITE_MATTER]
    not_white = 1.0 - tissues[T.WHITE_MATTER] - tissues[T.WHITE_MATTER_LESION] - 0.6 * deep
    time = time - 0.8 * canvas.spacing_mm + not_white * chance.uniform(*grey_delay_mm)
    time = time.add_(canvas.fractal(chance.uniform(5.0, 10.0), 2), alpha=chance.uniform(0.3, 1.5))
    fluid = tissues[T.SULCAL_CSF] + tissues[T.VENTRICLE] + tissues[T.CHOROID_PLEXUS]
    reached = torch.sigmoid((reach_mm - time) / chance.uniform(*edge_mm))
    edema = reached * brain * (1.0 - fluid.clamp(0, 1)) * (1.0 - core)
    return edema, (time / reach_mm).clamp_(0.0, 1.0)
