"""How to fine-tune: our way, and the MAGPIE paper's."""

from __future__ import annotations

from dataclasses import dataclass, field

from magpie_core.errors import InputError
from magpie_core.training.loop import LoopOptions
from magpie_core.training.patch_sampling import PAPER_PATCHES, CasePatches

COMBINATIONS = ("retrain", "average", "ensemble")
_OUR_LOOP = LoopOptions(
    learning_rate=1e-3, warmup_steps=50, ema_decay=0.995, checkpoint_minutes=2.0, log_every=10
)
_PAPER_LOOP = LoopOptions(
    optimizer="sgd",
    learning_rate=1e-2,
    schedule="poly",
    warmup_steps=0,
    weight_decay=3e-5,
    ema_decay=0.0,
    checkpoint_minutes=2.0,
    log_every=10,
)
_PAPER_EPOCHS = 200
_PAPER_PATIENCE_EPOCHS = 50


@dataclass(frozen=True)
class FinetuneOptions:
    """How to fine-tune.

    Attributes
    ----------
    minutes
        Of training altogether, shared out evenly among the trainings; about 9 s a case come on top for scoring.
    steps
        Of each training instead of minutes; then, with one thread, the result is the same bit for bit.
    epochs
        Of each training instead of either; an epoch has as many boxes as there are cases.
    seed
        Of everything random.
    replay_studies
        Synthetic studies mixed in against forgetting; 0 for none.
    interpolate_weights
        Share of the starting model in the averaged weights, 0 to 1.
    combine
        The candidate: "retrain" on all cases; "average" of the folds' weights; or the folds as an "ensemble", which
        takes as many times longer to use.
    patience_epochs
        A training stops after so many epochs without a better Dice on cases that neither teach nor judge (the next
        fold); 0 for never, so that all cases but those that judge can teach.
    loop, recipe
        Optimizer and rates, and what the steps look like.

    Raises
    ------
    InputError
        If a value is impossible.
    """

    minutes: float = 90.0
    steps: int | None = None
    epochs: int | None = None
    seed: int = 0
    replay_studies: int = 150
    interpolate_weights: float = 0.3
    combine: str = "retrain"
    patience_epochs: int = 0
    loop: LoopOptions = _OUR_LOOP
    recipe: CasePatches = field(default_factory=lambda: CasePatches(hold_routers_until=0.1))

    def __post_init__(self) -> None:
        for wrong, sentence in (
            (self.combine not in COMBINATIONS, f"combine is one of {', '.join(COMBINATIONS)}"),
            (not 0 <= self.interpolate_weights <= 1, "interpolate_weights lies between 0 and 1"),
            (self.minutes <= 0, "minutes are positive"),
        ):
            if wrong:
                raise InputError("Fine-tuning cannot be done like that", cause=sentence)

    def steps_of(self, cases: int) -> int | None:
        """Steps of a training on so many cases; None if its time decides."""
        return self.steps or (None if self.epochs is None else self.epochs * self.steps_per_epoch(cases))

    def steps_per_epoch(self, cases: int) -> int:
        """Steps for as many boxes as there are cases."""
        return max(1, cases // self.recipe.boxes)


def paper_options(*, seed: int = 0) -> FinetuneOptions:
    """SGD, poly decay, 200 epochs with a patience of 50, boxes of 128^3 by two, no synthetic studies (the paper)."""
    return FinetuneOptions(
        epochs=_PAPER_EPOCHS,
        seed=seed,
        replay_studies=0,
        interpolate_weights=0.0,
        combine="ensemble",
        patience_epochs=_PAPER_PATIENCE_EPOCHS,
        loop=_PAPER_LOOP,
        recipe=PAPER_PATCHES,
    )
