"""What a pretraining takes: hours, memory and disk, from one measured or counted step."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import MappingProxyType

from magpie_core.errors import InputError

PAPER_HOURS, PAPER_GPUS, PAPER_SCANS, PAPER_PASSES = 72.0, 4, 43_505, 100
"""What the MAGPIE paper reports of its pretraining (npj Digital Medicine 2026)."""

_OF_ARITHMETIC = 0.3  # share of the peak that convolutions of this size reach
_OF_BANDWIDTH = 0.4  # share of the peak that kernels without fusion reach
_LAUNCH_S = 8e-6  # from Python, one kernel
_STATE_BYTES = 20  # a parameter: weight, gradient, two moments of AdamW, average; 4 bytes each
_BESIDE_BYTES = 1.5e9  # the driver's context, work space and fragmentation
_VOXEL_MM3 = 3.38e6  # the box around a brain; mean of 23 studies
_PREPARATION_S = 5.0  # a single modality of a whole head, one thread


@dataclass(frozen=True)
class Gpu:
    """A graphics card by its maker's figures: dense bf16 arithmetic, memory, and the link between cards.

    The link is that of cards in one computer, one way; a card without a fast one of its own talks over PCI Express.
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
"""By name."""


@dataclass(frozen=True)
class StepWork:
    """What one place (a scan's views) asks of a step, counted; and how long it took on this computer.

    Attributes
    ----------
    flops, traffic_bytes
        Forward and backward: arithmetic, and tensors read and written by every operation.
    kernels
        Operations, whatever the number of places.
    kept_bytes
        Tensors kept for the backward pass.
    parameters
        Of everything that learns.
    draw_s
        Measured: cutting and augmenting the views, which one core of the processor does between the network's steps.
    pass_s, update_s
        Measured: a place's forward and backward pass, and the optimizer's update; NaN if only counted.
    """

    flops: float
    traffic_bytes: float
    kernels: int
    kept_bytes: float
    parameters: int
    draw_s: float
    pass_s: float
    update_s: float

    def on(self, gpu: Gpu, places: int) -> float:
        """Estimated seconds of a step with `places` on a card.

        The slowest of arithmetic, memory and launching, by a roofline (Williams et al., Commun ACM 2009) with shares
        of the peaks that unfused kernels reach; before that the views, as this computer's processor draws them. Never
        compared with a card: expect a factor of two or more.
        """
        arithmetic = places * self.flops / (gpu.tera_flops * 1e12 * _OF_ARITHMETIC)
        update_bytes = self.parameters * 2 * _STATE_BYTES
        traffic = (places * self.traffic_bytes + update_bytes) / (gpu.memory_gb_s * 1e9 * _OF_BANDWIDTH)
        return places * self.draw_s + max(arithmetic, traffic, self.kernels * _LAUNCH_S)


@dataclass(frozen=True)
class PretrainingPlan:
    """A pretraining, reckoned.

    Attributes
    ----------
    work
        Of a step.
    scans, passes
        Scans in the corpus, and times that each is seen.
    gpus
        Cards (or computers, where the step was measured) that work together on one step.
    places
        Scans a step and card.
    gpu
        The card; None for the computer where the step was measured.
    spacing_mm, modalities
        Voxel size of the corpus, and modalities of a scan.
    scan_bytes, preparation_s
        Of a prepared scan, where a corpus tells; else from the voxel size and typical times.

    Raises
    ------
    InputError
        If a number is impossible.
    """

    work: StepWork
    scans: int
    passes: int = 100
    gpus: int = 1
    places: int = 4
    gpu: Gpu | None = None
    spacing_mm: float = 2.0
    modalities: int = 1
    scan_bytes: float = field(default=math.nan)
    preparation_s: float = _PREPARATION_S

    def __post_init__(self) -> None:
        for name in ("scans", "passes", "gpus", "places", "modalities"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"A plan needs at least one of: {name}", cause=f"it is {getattr(self, name)}"
                )
        if not 0.5 <= self.spacing_mm <= 8:
            raise InputError("The voxel size of a corpus lies between 0.5 and 8 mm")

    @property
    def steps(self) -> int:
        """Steps of the whole training; the last of a pass may be filled from the next."""
        return math.ceil(self.scans * self.passes / (self.places * self.gpus))

    @property
    def step_s(self) -> float:
        """Seconds of a step, with the exchange of gradients."""
        if self.gpu is None:
            alone = self.places * (self.work.draw_s + self.work.pass_s) + self.work.update_s
        else:
            alone = self.work.on(self.gpu, self.places)
        return alone + self.exchange_s

    @property
    def exchange_s(self) -> float:
        """Seconds that gradients (4 bytes a parameter) take around a ring of cards, as if nothing else went on then."""
        link_gb_s = self.gpu.link_gb_s if self.gpu else 1.0
        return 2 * (self.gpus - 1) / self.gpus * 4 * self.work.parameters / (link_gb_s * 1e9)

    @property
    def hours(self) -> float:
        """Of the training alone."""
        return self.steps * self.step_s / 3600

    @property
    def memory_gb(self) -> float:
        """On each card."""
        beside = _BESIDE_BYTES if self.gpu else 0.0
        return (self.work.parameters * _STATE_BYTES + self.places * self.work.kept_bytes + beside) / 1e9

    @property
    def disk_gb(self) -> float:
        """Of the prepared corpus: a byte a voxel for each modality, and one for the voxels' weights."""
        voxels = _VOXEL_MM3 / self.spacing_mm**3
        each = voxels * (self.modalities + 1) if math.isnan(self.scan_bytes) else self.scan_bytes
        return self.scans * each / 1e9

    @property
    def preparation_hours(self) -> float:
        """Of preparing the corpus, in one process."""
        return self.scans * self.preparation_s / 3600


def gpu(name: str) -> Gpu:
    """A card by name, whatever its case and spaces.

    Raises
    ------
    InputError
        If it is not known; the message lists those that are.
    """
    plain = {key.replace(" ", "").casefold(): card for key, card in GPUS.items()}
    found = plain.get(name.replace(" ", "").replace("-", "").casefold())
    if found is None:
        raise InputError(
            f"The graphics card {name!r} is not known",
            remedy=f"Use one of {', '.join(GPUS)}, or 'here' to measure on this computer",
        )
    return found
