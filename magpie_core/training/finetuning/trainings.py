"""The trainings of one fine-tuning: of each fold, and of all cases."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from magpie_core.cohort.case import Case
from magpie_core.cohort.seen import SEEN, Seen
from magpie_core.io.discovery import read_study
from magpie_core.io.segmentation_file import read_segmentation
from magpie_core.models.model import Model, load_model, save_model
from magpie_core.networks.config import AnyConfig, EnsembleConfig, NetworkConfig
from magpie_core.preprocessing.preparation_cache import PreparationCache
from magpie_core.progress import Progress, part_of
from magpie_core.storage.atomic import remove_folder
from magpie_core.training.checkpoints import load_checkpoint
from magpie_core.training.finetuning.ancestry import Lineage, seen_by
from magpie_core.training.finetuning.options import FinetuneOptions
from magpie_core.training.finetuning.site_synthetic import site_synthetic_set
from magpie_core.training.finetuning.stages import round_stage, synthesis_reporter
from magpie_core.training.finetuning.time_plan import TimePlan
from magpie_core.training.fixed_synthetic_set import FixedSyntheticSet
from magpie_core.training.labeled_cases import pack_case
from magpie_core.training.run_folder import clear_checkpoints
from magpie_core.training.segmentation_training import interpolate_weights, train_on_cases
from magpie_core.training.validation import DiceValidator

SUMMARY = "summary"
"""Key of the training record of a candidate: date, start, cases, patients, Dice before and after, and verdict."""
_NO_SUMMARY: Mapping[str, Any] = MappingProxyType({})
_SYNTHESIS, _TRAINING = (0.05, 0.1), (0.1, 0.98)  # parts of the progress


class Trainings:
    """Trains on parts of the cases, each part in a folder of its own; what is there already is not trained again.

    Args:
        lineage: The model to fine-tune.
        folder: Run folder.
        name: Of the candidate.
        rounds: Number of trainings.

    Attributes:
        preparations: How the cases' images were prepared.
        fewest_steps: Of the shortest training.
    """

    def __init__(
        self,
        lineage: Lineage,
        folder: Path,
        name: str,
        options: FinetuneOptions,
        plan: TimePlan,
        cases: list[Case],
        rounds: int,
        anatomy: Path | None,
        progress: Progress,
    ) -> None:
        self._lineage, self._folder, self._name, self._options, self._plan = lineage, folder, name, options, plan
        self._rounds, self._anatomy, self._progress = rounds, anatomy, progress
        records = [case.preparation for case in cases if case.preparation is not None]
        self.preparations = PreparationCache(folder / "prepared", records=records, capacity=1)
        self._spacing_mm = lineage.current.description.spacing_mm
        with plan.spend("reading"):
            self._samples = {
                case.name: pack_case(
                    read_study(case.images, name=case.name),
                    read_segmentation(case.labels),
                    self._spacing_mm,
                    name=case.name,
                    preparations=self.preparations,
                )
                for case in cases
            }
        self._cases = cases
        self._synthetic: FixedSyntheticSet | None = None
        self.fewest_steps = 1_000_000

    def make_synthetic_studies(self) -> None:
        """Make the synthetic studies that are missing, as far as there is time."""
        if not self._options.synthetic_studies:
            return
        stride = self._lineage.current.network.config.backbone_stride
        self._synthetic = site_synthetic_set(
            self._options, spacing_mm=self._spacing_mm * stride, anatomy=self._anatomy, log=self._folder / "synthetic"
        )
        report = part_of(self._progress, *_SYNTHESIS)
        with self._plan.spend("synthetic studies"):
            self._synthetic.fill(
                synthesis_reporter(report, self._synthetic.made, self._options.synthetic_studies),
                is_time=self._plan.time_for_synthetic_studies(),
            )

    def train(self, part: str, start: Model, cases: list[Case], validation_cases: list[Case], number: int) -> Model:
        """Run training `number` from `start`, in the folder `part`; its model is loaded if it is there already."""
        folder = self._folder / part
        target = folder / "model"
        name = self._name if part == "all" else f"{self._name}-{part}"
        if target.exists():
            return load_model(target)
        options = self._options

        taken = 0

        def report(fraction: float, steps: int) -> None:
            nonlocal taken
            taken = steps
            first, last = _TRAINING
            done = first + (last - first) * (number + fraction) / self._rounds
            expected = round(steps / fraction) if fraction > 0 and steps else None
            self._progress(done, round_stage(number, self._rounds, self._plan.minutes_left(), expected))

        network = copy.deepcopy(start.network)
        steps = self._mean_best_steps() if part == "all" else None
        steps = steps or options.steps_of(len(cases))
        report(0.0, 0)
        loop = replace(
            options.loop,
            budget_steps=steps or 1_000_000,
            budget_minutes=float("inf") if steps else self._plan.training_minutes or options.minutes / self._rounds,
            seed=options.seed,
        )
        validator = None
        if validation_cases:
            validation = [self._samples[case.name] for case in validation_cases]
            if network.config.backbone_stride == 2:
                validation = [sample.downsampled() for sample in validation]
            epoch = options.steps_per_epoch(len(cases))
            validator = DiceValidator(validation, every_steps=epoch, patience=options.patience_epochs)
        with self._plan.spend("training"):
            weights = train_on_cases(
                network,
                [self._samples[case.name] for case in cases],
                self._synthetic,
                folder,
                loop,
                patches=options.patches,
                validator=validator,
                device=options.device,
                on_progress=lambda fraction, line: report(fraction, int(line["step"])),
            )
        self.fewest_steps = min(self.fewest_steps, taken)
        weights = interpolate_weights(weights, start.network.state_dict(), options.interpolation)
        model = self._save(target, name, start, cases, weights, network.config, stopped_by=validation_cases)
        if not options.patience_epochs:
            clear_checkpoints(folder)
        return model

    def combine(self, fold_models: list[Model]) -> Model:
        """Combine the folds' models into one: the mean of their weights, or an ensemble."""
        target = self._folder / "all" / "model"
        if target.exists():
            return load_model(target)
        start = self._lineage.current
        states = [model.network.state_dict() for model in fold_models]
        config = fold_models[0].network.config
        if self._options.combine == "average":
            weights = {key: torch.stack([state[key] for state in states]).mean(dim=0) for key in states[0]}
            return self._save(target, self._name, start, self._cases, weights, config)
        assert isinstance(config, NetworkConfig)  # checked before the first step
        weights = {
            f"members.{number}.{key}": value for number, state in enumerate(states) for key, value in state.items()
        }
        return self._save(target, self._name, start, self._cases, weights, EnsembleConfig(config, len(fold_models)))

    def finish(self, model: Model, summary: Mapping[str, Any]) -> Model:
        """Save the candidate with what its acceptance test found, in its record and on its card."""
        target = self._folder / "all" / "candidate"
        training = {**model.description.training, SUMMARY: dict(summary)}
        if target.exists():
            remove_folder(target)
        card = self._card(self._lineage.current, len(self._cases), model.description.license, summary)
        description = replace(model.description, name=self._name, training=training)
        save_model(target, description, model.network.state_dict(), card=card)
        return load_model(target)

    def _mean_best_steps(self) -> int | None:
        """Return the mean number of steps after which the folds' trainings were best; None without early stopping."""
        if not self._options.patience_epochs:
            return None
        best = []
        for folder in sorted(self._folder.glob("fold*")):
            state = load_checkpoint(folder) or {}
            training = load_model(folder / "model").description.training
            cases = len(training["cases"])
            checks_since_best = state["callbacks"]["early_stopping"]["checks_since_best"]
            best.append(state["step"] - checks_since_best * self._options.steps_per_epoch(cases))
        return max(1, round(mean(best)))

    def _save(
        self,
        target: Path,
        name: str,
        start: Model,
        cases: list[Case],
        weights: Mapping[str, Tensor],
        config: AnyConfig,
        *,
        stopped_by: Sequence[Case] = (),
    ) -> Model:
        """Save a model with all that it and its ancestors saw; the cases that stopped its training, too."""
        seen = seen_by(start, self._lineage.find) | Seen.of([*cases, *stopped_by])
        description = replace(
            start.description,
            name=name,
            version="1",
            network=config.to_dict(),
            # The thresholds were calibrated on the starting model, not on this one.
            postprocessing=replace(start.description.postprocessing, interval_thresholds={}),
            training={
                "data": f"{len(cases)} corrected cases after {start.name}",
                "start": start.hash,
                "cases": [case.name for case in cases],
                SEEN: seen.as_dict(),
                "seed": self._options.seed,
            },
        )
        card = self._card(start, len(cases), description.license)
        save_model(target, description, dict(weights), card=card)
        return load_model(target)

    def _card(self, start: Model, cases: int, license_id: str, summary: Mapping[str, Any] = _NO_SUMMARY) -> str:
        lines = [
            f"{start.name}, fine-tuned on {cases} corrected cases of a site. Research use only, not for clinical "
            "decisions.",
            "",
            f"- License of the weights: {license_id}.",
        ]
        if summary:
            lines += [f"- Fine-tuned: {summary['date'][:10]}.", f"- Acceptance test: {summary['verdict']}"]
            lines += ["", "| Region | Dice before | Dice after |", "|---|---|---|"]
            lines += [
                f"| {region} | {before:.3f} | {after:.3f} |" for region, (before, after) in summary["dice"].items()
            ]
        return "\n".join([f"# {self._name}", "", *lines, ""])
