"""Fine-tune a model on a site's own cases: out of fold for the acceptance test, then on all of them."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import torch
from torch import Tensor

from magpie_core.cohort.case import Case
from magpie_core.evaluation.region_metrics import evaluate_case
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.volume import Volume
from magpie_core.inference.segment import segment_study
from magpie_core.io.discovery import read_study
from magpie_core.io.segmentation_file import read_segmentation, write_segmentation
from magpie_core.models.model import Model, load_model, save_model
from magpie_core.networks.config import AnyConfig, EnsembleConfig, NetworkConfig
from magpie_core.preprocessing.preparation_cache import PreparationCache
from magpie_core.progress import Progress, no_progress, part_of
from magpie_core.storage.atomic import write_bytes
from magpie_core.training.checkpoints import load_checkpoint
from magpie_core.training.finetuning.acceptance import AcceptanceResult, Scores, run_acceptance_test
from magpie_core.training.finetuning.options import FinetuneOptions
from magpie_core.training.finetuning.preflight import OUTPUTS, check_plan, run_settings
from magpie_core.training.finetuning.stages import round_stage, synthesis_reporter
from magpie_core.training.fixed_synthetic_set import FixedSyntheticSet
from magpie_core.training.labeled_cases import pack_case, resample_nearest
from magpie_core.training.run_folder import clear_checkpoints, open_run
from magpie_core.training.segmentation_training import interpolate_weights, train_on_cases
from magpie_core.training.validation import DiceValidator


@dataclass(frozen=True)
class FinetuneResult:
    """A candidate and its acceptance test.

    Attributes:
        model: Folder of the candidate, trained on all cases.
        evidence: Folder of its out-of-fold predictions and scores.
        current, candidate: Dice by case and region, each by weights that were not trained on the case.
    """

    model: Path
    evidence: Path
    current: Scores
    candidate: Scores
    decision: AcceptanceResult


def finetune(
    folds: list[list[Case]],
    start: Model,
    folder: Path,
    *,
    name: str,
    options: FinetuneOptions | None = None,
    anatomy: Path | None = None,
    known_scores: Scores | None = None,
    forgetting_test_set: Sequence[Case] = (),
    restart: bool = False,
    progress: Progress = no_progress,
) -> FinetuneResult:
    """Fine-tune `start` on the cases and test the candidate; an interrupted run in `folder` is resumed.

    Args:
        folds: The cases, those of a patient in one fold (`Cohort.folds`).
        anatomy: Label maps for the synthetic studies mixed in; None for the template head.
        known_scores: Of `start` on cases that it was trained on, by models that were not; it is scored on the others.
        forgetting_test_set: Cases that are never trained on, to measure what is forgotten.
        restart: Whether a training on other cases in `folder` is removed; refused otherwise.

    Raises:
        InputError: If there are fewer than 3 cases, a file is faulty, a patient is in both cases and forgetting test
            set, or the folder holds a training on other cases.
        ModelError: If training becomes unstable.
    """
    options = options or FinetuneOptions()
    cases = [case for fold in folds for case in fold]
    check_plan(folds, start, folder, options, anatomy, forgetting_test_set)
    settings = run_settings(start.hash, folds, options, anatomy)
    with open_run(folder, settings, outputs=OUTPUTS, restart=restart) as others:
        changed = f"The {' and '.join(others)} have changed: starting again"
        progress(0.0, changed if others else "Reading the cases")
        run = _Run(start, folder, name, options, anatomy, progress, cases, len(folds))
        current: dict[str, dict[str, float]] = {}
        candidate: dict[str, dict[str, float]] = {}
        fold_models = []
        for index, test_fold in enumerate(folds):
            validation_fold = folds[(index + 1) % len(folds)] if options.patience_epochs else []
            training_cases = [case for case in cases if case not in test_fold and case not in validation_fold]
            fold_models.append(run.train(f"fold{index}", training_cases, validation_fold, index))
            for case in test_fold:
                candidate[case.name] = run.score(case, fold_models[-1], "candidate")
                known = (known_scores or {}).get(case.name)
                current[case.name] = dict(known) if known is not None else run.score(case, start, "current")
        if options.combine == "retrain":
            model = run.train("all", cases, [], len(folds))
        else:
            model = run.combine(fold_models)
        decision = run.decide(model, current, candidate, forgetting_test_set)
        progress(1.0, "Done")
        return FinetuneResult(model.folder, run.evidence, current, candidate, decision)


class _Run:
    """The trainings of one fine-tuning, all from the same starting model, and the scores of their models."""

    def __init__(
        self,
        start: Model,
        folder: Path,
        name: str,
        options: FinetuneOptions,
        anatomy: Path | None,
        progress: Progress,
        cases: list[Case],
        folds: int,
    ) -> None:
        self._start, self._folder, self._name, self._options = start, folder, name, options
        self._progress = progress
        self._rounds = folds + (options.combine == "retrain")
        records = [case.preparation for case in cases if case.preparation is not None]
        self._preparations = PreparationCache(folder / "prepared", records=records, capacity=1)
        spacing_mm = start.description.spacing_mm
        self._samples = {
            case.name: pack_case(
                read_study(case.images, name=case.name),
                read_segmentation(case.labels),
                spacing_mm,
                name=case.name,
                preparations=self._preparations,
            )
            for case in cases
        }
        self._synthetic = None
        if options.synthetic_studies:
            self._synthetic = FixedSyntheticSet(
                folder / "synthetic",
                options.synthetic_studies,
                spacing_mm=spacing_mm * start.network.config.backbone_stride,
                anatomy=anatomy,
                seed=options.seed,
            )
            report = part_of(progress, 0.0, 0.05)
            made = len(list((folder / "synthetic").glob("*.npy")))
            self._synthetic.fill(synthesis_reporter(report, made, options.synthetic_studies))
        self.evidence = folder / "evidence"
        self.evidence.mkdir(exist_ok=True)

    def train(self, part: str, cases: list[Case], validation_cases: list[Case], number: int) -> Model:
        """Run training `number`, in the folder `part`; its model is loaded if it is there already."""
        folder = self._folder / part
        target = folder / "model"
        name = self._name if part == "all" else f"{self._name}-{part}"
        if target.exists():
            return self._named(target, name)
        options = self._options

        def report(fraction: float) -> None:
            done = 0.05 + 0.9 * (number + fraction) / self._rounds
            minutes = None if steps else options.minutes
            self._progress(done, round_stage(number, self._rounds, fraction, minutes))

        network = copy.deepcopy(self._start.network)
        steps = self._mean_best_steps() if part == "all" else None
        steps = steps or options.steps_of(len(cases))
        report(0.0)
        loop = replace(
            options.loop,
            budget_steps=steps or 1_000_000,
            budget_minutes=float("inf") if steps else options.minutes / self._rounds,
            seed=options.seed,
        )
        validator = None
        if validation_cases:
            validation = [self._samples[case.name] for case in validation_cases]
            if network.config.backbone_stride == 2:
                validation = [sample.downsampled() for sample in validation]
            epoch = options.steps_per_epoch(len(cases))
            validator = DiceValidator(validation, every_steps=epoch, patience=options.patience_epochs)
        weights = train_on_cases(
            network,
            [self._samples[case.name] for case in cases],
            self._synthetic,
            folder,
            loop,
            patches=options.patches,
            validator=validator,
            on_progress=lambda fraction, _: report(fraction),
        )
        weights = interpolate_weights(weights, self._start.network.state_dict(), options.interpolation)
        model = self._save(target, name, [case.name for case in cases], weights, network.config)
        if not options.patience_epochs:
            clear_checkpoints(folder)
        return model

    def combine(self, fold_models: list[Model]) -> Model:
        """Combine the folds' models into one: the mean of their weights, or an ensemble."""
        target, cases = self._folder / "all" / "model", list(self._samples)
        if target.exists():
            return self._named(target, self._name)
        states = [model.network.state_dict() for model in fold_models]
        config = fold_models[0].network.config
        if self._options.combine == "average":
            weights = {key: torch.stack([state[key] for state in states]).mean(dim=0) for key in states[0]}
            return self._save(target, self._name, cases, weights, config)
        assert isinstance(config, NetworkConfig)  # checked before the first step
        weights = {
            f"members.{number}.{key}": value for number, state in enumerate(states) for key, value in state.items()
        }
        return self._save(target, self._name, cases, weights, EnsembleConfig(config, len(fold_models)))

    def score(self, case: Case, model: Model, role: str) -> dict[str, float]:
        """Compute the Dice by region of a model on a case; the prediction is kept in the evidence folder."""
        path = self.evidence / f"{case.name}_{role}.nii.gz"
        reference = read_segmentation(case.labels)
        if path.exists():
            predicted = read_segmentation(path)
        else:
            study = read_study(case.images, name=case.name)
            prediction = segment_study(study, model, preparations=self._preparations)
            predicted, moved = prediction.segmentation, prediction.prepared.move_with_images(reference)
            if not predicted.geometry.matches(moved.geometry, 0.05):
                # Back to the grid that the labels were drawn on, before the images were co-registered.
                volume = Volume(predicted.labels, predicted.affine)
                labels = resample_nearest(volume, moved.affine, moved.labels.shape)
                predicted = Segmentation(labels, reference.affine, predicted.schema)
            write_segmentation(predicted, path)
        return {region: scores["dice"] for region, scores in evaluate_case(predicted, reference).items()}

    def decide(
        self, candidate_model: Model, current: Scores, candidate: Scores, forgetting_test_set: Sequence[Case]
    ) -> AcceptanceResult:
        """Run the acceptance test, on the forgetting test set too; keep the scores in the evidence folder."""
        forgetting = {
            role: {case.name: self.score(case, model, role) for case in forgetting_test_set}
            for role, model in (("current", self._start), ("candidate", candidate_model))
        }
        decision = run_acceptance_test(
            current, candidate, forgetting_current=forgetting["current"], forgetting_candidate=forgetting["candidate"]
        )
        scores = {
            "current": current,
            "candidate": candidate,
            "sentinels": forgetting,  # the key of 0.5.0
            "verdict": list(decision.findings),
        }
        write_bytes(self.evidence / "scores.json", (json.dumps(scores, indent=2) + "\n").encode())
        return decision

    def _mean_best_steps(self) -> int | None:
        """Return the mean number of steps after which the folds' trainings were best; None without early stopping."""
        if not self._options.patience_epochs:
            return None
        best = []
        for folder in sorted(self._folder.glob("fold*")):
            state = load_checkpoint(folder) or {}
            cases = len(load_model(folder / "model").description.training["cases"])
            checks_since_best = state["early_stopping"][2]
            best.append(state["step"] - checks_since_best * self._options.steps_per_epoch(cases))
        return max(1, round(mean(best)))

    def _named(self, target: Path, name: str) -> Model:
        """Load a model of an interrupted run; it gets the name that the run has now."""
        model = load_model(target)
        if model.description.name == name:
            return model
        shutil.rmtree(target)
        cases = list(model.description.training["cases"])
        return self._save(target, name, cases, model.network.state_dict(), model.network.config)

    def _save(
        self, target: Path, name: str, cases: list[str], weights: Mapping[str, Tensor], config: AnyConfig
    ) -> Model:
        start = self._start
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
                "cases": cases,
                "seed": self._options.seed,
            },
        )
        card = (
            f"# {name}\n\n{start.name}, fine-tuned on {len(cases)} corrected cases of a site. "
            f"Research use only, not for clinical decisions.\n\n- License of the weights: {description.license}.\n"
        )
        save_model(target, description, dict(weights), card=card)
        return load_model(target)
