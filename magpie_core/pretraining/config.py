"""Configuration of pretraining, and its presets."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from magpie_core.errors import InputError
from magpie_core.training.augmentation import Augmentation
from magpie_core.training.loop_options import LoopOptions


@dataclass(frozen=True)
class PretrainingConfig:
    """Views, masks and losses.

    Attributes:
        view_size: In voxels at the backbone's resolution.
        batch_size, views: Subjects per step and rank, and views of one location of each.
        jitter: Greatest shift of a view from its location, as a fraction of its size along each axis: views of a
            location share at least (1 - 2 jitter)^3 of their volume before they are rotated.
        block_size, mask_ratio: Edge of a block in voxels, and the fraction of blocks that are masked. A voxel of a
            stage coarser than a block sees what is visible of it. The default blocks are of 8 mm at 2 mm, the paper's
            of 16 mm at 1 mm.
        sparse: Keep masked voxels zero throughout the encoder, with learned tokens for them before the decoder (SparK);
            else zeros in the images alone (AMAES).
        light_decoder: Reconstruct with a separate decoder without skips, which is discarded; else with the network's,
            which is pretrained with the rest.
        masked_only: Whether the reconstruction loss is that of masked voxels alone, or of the whole view.
        clean_target: Whether the target is without the intensity augmentation.
        unit_range: Intensities 0 to 1 in each image's brain, instead of mean 0 and standard deviation 1.
        reconstruction, contrast, balance, router_z: Weights of the losses.
        temperature: Of the contrastive loss.
        center_embeddings: Whether the step's mean embedding is subtracted before the contrastive loss. A randomly
            initialized network embeds all views in nearly one direction (cosines of 0.98), from which it hardly learns.
        augmentation: Of each view; where it centers patches has no effect.
    """

    view_size: tuple[int, int, int] = (48, 64, 48)
    batch_size: int = 2
    views: int = 2
    jitter: float = 0.15
    block_size: int = 4
    mask_ratio: float = 0.75
    sparse: bool = True
    light_decoder: bool = False
    masked_only: bool = True
    clean_target: bool = False
    unit_range: bool = False
    reconstruction: float = 1.0
    contrast: float = 0.1
    balance: float = 0.05
    router_z: float = 0.001
    temperature: float = 0.1
    center_embeddings: bool = True
    augmentation: Augmentation = field(
        default_factory=lambda: Augmentation(affine=0.5, gamma=0.3, noise=0.2, thick_slices=0.1, drop=0.5)
    )

    def __post_init__(self) -> None:
        for wrong, cause in (
            (self.batch_size < 1 or self.views < 1, "a step needs subjects and views"),
            (not 0 < self.mask_ratio < 1, "mask_ratio must lie between 0 and 1"),
            (not 0 <= self.jitter < 0.5, "jitter must lie between 0 and 0.5"),
            (self.block_size < 1, "block_size must be a number of voxels"),
            (min(self.view_size) < 1, f"view_size must be positive, not {' x '.join(map(str, self.view_size))}"),
            (self.temperature <= 0, "temperature must be positive"),
        ):
            if wrong:
                raise InputError("Cannot pretrain with this configuration", cause=cause)


def pretraining_preset(name: str) -> tuple[PretrainingConfig, LoopOptions]:
    """Return configuration and loop options of "magpie", "paper" (MAGPIE's) or "amaes" (arXiv 2408.00640)."""
    if name not in PRETRAINING_PRESETS:
        raise InputError(f"Unknown pretraining preset {name!r}", remedy=f"Use one of {', '.join(PRETRAINING_PRESETS)}")
    return PRETRAINING_PRESETS[name]


_MAGPIE_LOOP = LoopOptions(learning_rate=2e-3, weight_decay=0.05, warmup_steps=50, clip_norm=1.0, log_every=25)
_PAPER = PretrainingConfig(
    batch_size=4,
    jitter=0.1,
    block_size=16,
    unit_range=True,
    contrast=1.0,
    balance=0.01,
    center_embeddings=False,
    router_z=0.0,
    augmentation=Augmentation(
        affine=1.0, scaling=0.1, elastic=0.3, gain=0.0, shift=0.1, noise=1.0, noise_range=(0.05, 0.05), drop=0.0
    ),
)
_PAPER_LOOP = replace(_MAGPIE_LOOP, learning_rate=1e-4, betas=(0.9, 0.999), warmup_steps=0, ema_decay=0.0)
_AMAES = replace(
    _PAPER,
    batch_size=8,
    views=1,
    block_size=4,
    mask_ratio=0.6,
    sparse=False,
    light_decoder=True,
    masked_only=False,
    clean_target=True,
    contrast=0.0,
    augmentation=Augmentation(
        affine=0.5, gamma=0.3, noise=0.3, thick_slices=0.2, bias_field=0.3, gain=0.1, shift=0.1, drop=0.0
    ),
)
PRETRAINING_PRESETS = {
    "magpie": (PretrainingConfig(), _MAGPIE_LOOP),
    "paper": (_PAPER, _PAPER_LOOP),
    "amaes": (_AMAES, replace(_PAPER_LOOP, weight_decay=0.01, warmup_steps=500)),
}
