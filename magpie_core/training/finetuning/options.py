"""Options of fine-tuning: the defaults, and those of the MAGPIE paper."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Annotated

from magpie_core.errors import InputError
from magpie_core.networks.config import AnyConfig, MomeConfig
from magpie_core.storage.ranges import COUNT, FRACTION, MINUTES, SEED, STEPS, check_ranges
from magpie_core.training.loop_options import LoopOptions
from magpie_core.training.patch_sampling import MOME_PATCHES, PAPER_PATCHES, CasePatches

COMBINATIONS = ("retrain", "average", "ensemble")
_LOOP = LoopOptions(learning_rate=1e-3, warmup_steps=50, ema_decay=0.995, checkpoint_minutes=2.0, log_every=10)


@dataclass(frozen=True)
class FinetuneOptions:
    """Length, regularization and sampling of a fine-tuning (InputError if a value is impossible).

    Attributes:
        minutes: Of training altogether, divided equally among the rounds; scoring takes about 9 s per case more.
        steps: Of each round instead of minutes; then, with one thread, the result is deterministic.
        epochs: Of each round instead of either; an epoch has as many patches as there are cases.
        synthetic_studies: Number of synthetic studies mixed in against forgetting; 0 for none.
        interpolation: Fraction of the starting model's weights in the result, 0 to 1.
        combine: The candidate: "retrain" on all cases; "average" of the folds' weights; or an "ensemble" of the folds,
            which takes as many times longer at inference.
        patience_epochs: Epochs without a better Dice on the validation fold (the next one) after which a training
            stops; 0 for no early stopping, so that all cases but the test fold are trained on.
        loop, patches: Options of the training loop and of the patch sampling.
        device: Of training and scoring, as in torch.
    """

    minutes: Annotated[float, MINUTES] = 90.0
    steps: Annotated[int | None, STEPS] = None
    epochs: Annotated[int | None, COUNT] = None
    seed: Annotated[int, SEED] = 0
    synthetic_studies: Annotated[int, COUNT] = 150
    interpolation: Annotated[float, FRACTION] = 0.3
    combine: str = "retrain"
    patience_epochs: Annotated[int, STEPS] = 0
    loop: LoopOptions = _LOOP
    patches: CasePatches = field(default_factory=lambda: CasePatches(freeze_routers_until=0.1))
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.combine not in COMBINATIONS:
            raise InputError(f"Cannot combine by {self.combine!r}", remedy=f"Use one of {', '.join(COMBINATIONS)}")

    def steps_of(self, cases: int) -> int | None:
        """Return the steps of a training on so many cases; None if the minutes decide."""
        return self.steps or (None if self.epochs is None else self.epochs * self.steps_per_epoch(cases))

    def steps_per_epoch(self, cases: int) -> int:
        """Return the steps for as many patches as there are cases."""
        return max(1, cases // self.patches.batch_size)


def paper_options(*, seed: int = 0, device: str = "cpu", precision: str = "auto") -> FinetuneOptions:
    """Return the MAGPIE paper's options: its loss, SGD, poly decay over 200 epochs, patience 50, two patches of 128^3.

    `precision` "auto" is the paper's fp16 on a GPU; elsewhere, where fp16 cannot be trained in, bf16 or fp32.
    """
    if precision == "auto" and device.startswith("cuda"):
        precision = "fp16"
    return FinetuneOptions(
        epochs=200,
        seed=seed,
        synthetic_studies=0,
        interpolation=0.0,
        combine="ensemble",
        patience_epochs=50,
        loop=replace(
            _LOOP,
            optimizer="sgd",
            learning_rate=1e-2,
            schedule="poly",
            warmup_steps=0,
            weight_decay=0.0,
            clip_norm=math.inf,
            ema_decay=0.0,
            precision=precision,
        ),
        patches=PAPER_PATCHES,
        device=device,
    )


def mome_options(*, seed: int = 0, device: str = "cpu", precision: str = "auto") -> FinetuneOptions:
    """Return MoME's options for the joint training of its experts: its loss, 800 epochs of nnU-Net's SGD from 1e-3."""
    paper = paper_options(seed=seed, device=device, precision=precision)
    loop = replace(paper.loop, learning_rate=1e-3, momentum=0.99, nesterov=True, weight_decay=3e-5, clip_norm=12.0)
    return replace(paper, epochs=800, patience_epochs=0, combine="retrain", loop=loop, patches=MOME_PATCHES)


PRESETS = {"paper": paper_options, "mome": mome_options}
"""Options by the name of a preset, beside "magpie", ours."""


def check_start(preset: str, network: AnyConfig) -> None:
    """Check that a network can be trained as a preset asks (InputError if not)."""
    if preset != "mome":
        return
    is_mome = isinstance(network, MomeConfig)
    if not (isinstance(network, MomeConfig) and network.mode == "image" and network.network.output == "tissues"):
        raise InputError(
            "This model cannot be trained as MoME",
            cause="it is no mixture of modality experts"
            if not is_mome
            else "its experts do not take every image, or have no softmax over the tissues",
            remedy="Train an expert for each modality (magpie train synthetic --network mome-expert --modality T2), "
            "join them (magpie models join --mode image), and start from that",
        )
