"""What pretraining asks of the network, and by which name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from magpie_core.errors import InputError
from magpie_core.training.augmentation import Augmentation
from magpie_core.training.loop_options import LoopOptions


@dataclass(frozen=True)
class PretrainingConfig:
    """Views, masks and losses.

    Attributes
    ----------
    box
        Size of a view in voxels at the body's resolution.
    subjects, views
        Places drawn for a step in each process, and views of each.
    jitter
        Greatest distance of a view from its place, as a share of the box along each axis: views of a place share at
        least (1 - 2 jitter)^3 of their volume before they are turned.
    block, hidden
        Edge of a block in voxels, and the share of blocks that are hidden. A voxel of a stage coarser than a block
        sees what is visible of it. Ours are of 8 mm at 2 mm, the paper's of 16 mm at 1 mm: of blocks of 16 mm a small
        network drew blurs after 45 minutes, of blocks of 8 mm brains.
    sparse
        Keep hidden places empty throughout the encoder, with learned tokens for them before the decoder (SparK); else
        zeros in the images alone (AMAES).
    light_decoder
        Reconstruct with a decoder of its own without skips, which is thrown away; else with the network's, which is
        pretrained with the rest.
    hidden_only
        Whether only what was hidden is compared, or the whole view.
    clean_target
        Whether the images' augmented intensities are to be undone too.
    unit_range
        Intensities 0 to 1 in each image's brain, instead of the house's mean 0 and standard deviation 1.
    reconstruction, contrast, balance, router_z
        Weights of the losses. With a balance of 0.01, MAGPIE's, an expert once had less than 1 % of the work.
    temperature
        Of the contrast.
    centerd
        Whether the contrast is of what differs from the step's mean embedding. A new network embeds all views in
        nearly one direction (cosines of 0.98), from which it hardly learns.
    augmentation
        Of each view; `tumor_share` has no meaning here.
    """

    box: tuple[int, int, int] = (48, 64, 48)
    subjects: int = 2
    views: int = 2
    jitter: float = 0.15
    block: int = 4
    hidden: float = 0.75
    sparse: bool = True
    light_decoder: bool = False
    hidden_only: bool = True
    clean_target: bool = False
    unit_range: bool = False
    reconstruction: float = 1.0
    contrast: float = 0.1
    balance: float = 0.05
    router_z: float = 0.001
    temperature: float = 0.1
    centerd: bool = True
    augmentation: Augmentation = field(
        default_factory=lambda: Augmentation(affine=0.5, gamma=0.3, noise=0.2, blur=0.1, drop=0.5)
    )

    def __post_init__(self) -> None:
        for wrong, sentence in (
            (self.subjects < 1 or self.views < 1, "a step needs subjects and views"),
            (not 0 < self.hidden < 1, "hidden lies between 0 and 1"),
            (not 0 <= self.jitter < 0.5, "jitter lies between 0 and 0.5"),
            (self.block < 1, "block is a number of voxels"),
            (min(self.box) < 1, f"box is a size in voxels, not {' x '.join(map(str, self.box))}"),
            (self.temperature <= 0, "temperature is positive"),
        ):
            if wrong:
                raise InputError("Pretraining cannot be done like that", cause=sentence)


def pretraining_preset(name: str) -> tuple[PretrainingConfig, LoopOptions]:
    """Recipe and optimization of a name: "magpie" (ours), "paper" (MAGPIE's) or "amaes" (arXiv 2408.00640).

    Raises
    ------
    InputError
        If there is no such name; the message lists them.
    """
    if name not in PRETRAINING_PRESETS:
        raise InputError(
            f"There is no way of pretraining {name!r}",
            cause=f"known: {', '.join(PRETRAINING_PRESETS)}",
            remedy="Use one of these",
        )
    return PRETRAINING_PRESETS[name]()


def _ours() -> tuple[PretrainingConfig, LoopOptions]:
    loop = LoopOptions(learning_rate=2e-3, weight_decay=0.05, warmup_steps=50, clip_norm=1.0, log_every=25)
    return PretrainingConfig(), loop


def _paper() -> tuple[PretrainingConfig, LoopOptions]:
    augmentation = Augmentation(
        affine=1.0,
        rotation_deg=15.0,
        scaling=0.1,
        elastic=0.3,
        gain=0.0,
        shift=0.1,
        noise=1.0,
        noise_range=(0.05, 0.05),
        drop=0.0,
    )
    # Two views of each of four subjects, anywhere within a translation of 10 %.
    recipe = PretrainingConfig(
        subjects=4,
        jitter=0.1,
        block=16,
        unit_range=True,
        contrast=1.0,
        balance=0.01,
        centerd=False,
        router_z=0.0,
        augmentation=augmentation,
    )
    loop = LoopOptions(
        learning_rate=1e-4,
        weight_decay=0.05,
        betas=(0.9, 0.999),
        warmup_steps=0,
        clip_norm=1.0,
        ema_decay=0.0,
        log_every=25,
    )
    return recipe, loop


def _amaes() -> tuple[PretrainingConfig, LoopOptions]:
    recipe, loop = _paper()
    augmentation = Augmentation(
        affine=0.5, gamma=0.3, noise=0.3, blur=0.2, bias_field=0.3, gain=0.1, shift=0.1, drop=0.0
    )
    amaes = replace(
        recipe,
        subjects=8,
        views=1,
        block=4,
        hidden=0.6,
        sparse=False,
        light_decoder=True,
        hidden_only=False,
        clean_target=True,
        contrast=0.0,
        augmentation=augmentation,
    )
    return amaes, replace(loop, weight_decay=0.01, warmup_steps=500)


PRETRAINING_PRESETS: dict[str, Callable[[], tuple[PretrainingConfig, LoopOptions]]] = {
    "magpie": _ours,
    "paper": _paper,
    "amaes": _amaes,
}
