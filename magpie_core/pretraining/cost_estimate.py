"""Estimate the hours, memory and disk of a pretraining from one measured or counted step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType

from magpie_core.errors import InputError

PAPER = {"hours": 72.0, "gpus": 4, "scans": 43_505, "epochs": 100}
"""What the MAGPIE paper reports of its pretraining (npj Digital Medicine 2026)."""

_ARITHMETIC_EFFICIENCY = 0.3  # fraction of the peak that convolutions of this size reach
_BANDWIDTH_EFFICIENCY = 0.4  # fraction of the peak that unfused kernels reach
_LAUNCH_S = 8e-6  # from Python, one kernel
_STATE_BYTES = 20  # per parameter: weight, gradient, two moments of AdamW, EMA; 4 bytes each
_OVERHEAD_BYTES = 1.5e9  # the driver's context, workspace and fragmentation
_BRAIN_MM3 = 3.38e6  # bounding box of a brain; mean of 23 studies
_PREPARATION_S = 5.0  # a single modality of a whole head, one thread


@dataclass(frozen=True)
class Gpu:
    """A GPU by its data sheet: dense bf16 arithmetic, memory, and the link between GPUs.

    The link is that of GPUs in one computer, one way: PCI Express if there is no faster one.
    """

    tera_flops: float
    memory_gb: float
    memory_gb_s: float
    link_gb_s: float


GPUS = MappingProxyType(
    {
        "B200": Gpu(2250, 180, 8000, 900),
        "H200": Gpu(989, 141, 4800, 450),
        "H100": Gpu(989, 80, 3350, 450),
        "A100": Gpu(312, 80, 2039, 300),
        "L40S": Gpu(362, 48, 864, 32),
        "RTX 4090": Gpu(165, 24, 1008, 32),
        "V100": Gpu(125, 32, 900, 150),
    }
)
"""GPUs by name."""


@dataclass(frozen=True)
class StepCost:
    """The cost of one scan (its views) in a training step, counted, and measured on this computer.

    Attributes:
        flops, traffic_bytes: Forward and backward: arithmetic, and bytes of tensors read and written by every
            operation.
        kernels: Operations, whatever the batch size.
        activation_bytes: Tensors kept for the backward pass.
        parameters: Trainable parameters.
        draw_s: Measured: cutting and augmenting the views, on one CPU core.
        forward_backward_s, update_s: Measured: a scan's forward and backward pass, and the optimizer's update; NaN if
            only counted.
    """

    flops: float
    traffic_bytes: float
    kernels: int
    activation_bytes: float
    parameters: int
    draw_s: float
    forward_backward_s: float
    update_s: float

    def on_gpu(self, gpu: Gpu, batch_size: int) -> float:
        """Estimate the seconds of a step with `batch_size` scans on a GPU.

        The slowest of arithmetic, memory and launching, by a roofline (Williams et al., Commun ACM 2009) with the
        fractions of the peaks that unfused kernels reach; before that the views, as this computer's CPU draws them. Not
        validated on a GPU: expect a factor of two or more.
        """
        arithmetic = batch_size * self.flops / (gpu.tera_flops * 1e12 * _ARITHMETIC_EFFICIENCY)
        update_bytes = self.parameters * 2 * _STATE_BYTES
        traffic = (batch_size * self.traffic_bytes + update_bytes) / (gpu.memory_gb_s * 1e9 * _BANDWIDTH_EFFICIENCY)
        return batch_size * self.draw_s + max(arithmetic, traffic, self.kernels * _LAUNCH_S)


@dataclass(frozen=True)
class CostEstimate:
    """The estimated cost of a pretraining (InputError if a number is impossible).

    Attributes:
        gpus: GPUs (or computers, where the step was measured) that train together.
        batch_size: Scans per step and GPU.
        gpu: The GPU; None for the computer where the step was measured.
        scan_bytes, preparation_s: Of a prepared scan, if a dataset is known; else from the voxel size and typical
            times.
    """

    cost: StepCost
    scans: int
    epochs: int = 100
    gpus: int = 1
    batch_size: int = 4
    gpu: Gpu | None = None
    spacing_mm: float = 2.0
    modalities: int = 1
    scan_bytes: float = math.nan
    preparation_s: float = _PREPARATION_S

    def __post_init__(self) -> None:
        for name in ("scans", "epochs", "gpus", "batch_size", "modalities"):
            if getattr(self, name) < 1:
                raise InputError(f"Impossible value: {name} must be at least 1", cause=f"it is {getattr(self, name)}")
        if not 0.5 <= self.spacing_mm <= 8:
            raise InputError("The voxel size of a dataset must lie between 0.5 and 8 mm")

    @property
    def steps(self) -> int:
        """Steps of the whole training; the last of an epoch may be filled from the next."""
        return math.ceil(self.scans * self.epochs / (self.batch_size * self.gpus))

    @property
    def step_s(self) -> float:
        """Seconds of a step, with the all-reduce of gradients."""
        if self.gpu is None:
            alone = self.batch_size * (self.cost.draw_s + self.cost.forward_backward_s) + self.cost.update_s
        else:
            alone = self.cost.on_gpu(self.gpu, self.batch_size)
        return alone + self.all_reduce_s

    @property
    def all_reduce_s(self) -> float:
        """Seconds of a ring all-reduce of the gradients (4 bytes per parameter), as if not overlapped with anything."""
        link_gb_s = self.gpu.link_gb_s if self.gpu else 1.0
        return 2 * (self.gpus - 1) / self.gpus * 4 * self.cost.parameters / (link_gb_s * 1e9)

    @property
    def hours(self) -> float:
        """Hours of the training alone."""
        return self.steps * self.step_s / 3600

    @property
    def memory_gb(self) -> float:
        """GPU memory of each, in GB."""
        overhead = _OVERHEAD_BYTES if self.gpu else 0.0
        return (self.cost.parameters * _STATE_BYTES + self.batch_size * self.cost.activation_bytes + overhead) / 1e9

    @property
    def disk_gb(self) -> float:
        """Size of the prepared dataset in GB: a byte per voxel for each modality, and one for the voxel weights."""
        voxels = _BRAIN_MM3 / self.spacing_mm**3
        each = voxels * (self.modalities + 1) if math.isnan(self.scan_bytes) else self.scan_bytes
        return self.scans * each / 1e9

    @property
    def preparation_hours(self) -> float:
        """Hours of preparing the dataset, in one process."""
        return self.scans * self.preparation_s / 3600


def gpu(name: str) -> Gpu:
    """Return a GPU by name, whatever its case and spaces (InputError, which lists those known, if it is unknown)."""
    by_key = {key.replace(" ", "").casefold(): gpu for key, gpu in GPUS.items()}
    found = by_key.get(name.replace(" ", "").replace("-", "").casefold())
    if found is None:
        raise InputError(
            f"Unknown GPU {name!r}", remedy=f"Use one of {', '.join(GPUS)}, or 'here' to measure on this computer"
        )
    return found
