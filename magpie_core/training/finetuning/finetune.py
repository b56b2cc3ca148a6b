"""Fine-tune a model on a site's own cases: out of fold for the acceptance test, then on all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from magpie_core.cohort.case import Case
from magpie_core.models.model import Model
from magpie_core.progress import Progress, no_progress
from magpie_core.storage.atomic import write_bytes
from magpie_core.training.finetuning.acceptance import AcceptanceResult, Scores, run_acceptance_test, summarize
from magpie_core.training.finetuning.ancestry import Lineage
from magpie_core.training.finetuning.options import FinetuneOptions
from magpie_core.training.finetuning.preflight import OUTPUTS, check_plan, run_settings
from magpie_core.training.finetuning.scoring import CaseScorer, Row
from magpie_core.training.finetuning.time_plan import TimePlan
from magpie_core.training.finetuning.trainings import Trainings
from magpie_core.training.run_folder import open_run


@dataclass(frozen=True)
class FinetuneResult:
    """A candidate and its acceptance test.

    Attributes:
        model: Folder of the candidate, trained on all cases.
        folds: Model folders of the folds, which never saw one fold's cases, nor did their ancestors.
        evidence: Folder of its out-of-fold predictions and scores.
        current, candidate: Dice by case and region, each by weights that never saw the case, nor did their ancestors;
            of the cases for which there are such weights.
        scored: All scores, by the model and the content of the case; for the next fine-tuning.
        findings: Those of the acceptance test, and what else is to be said.
        summary: What `summarize` returns; it is in the candidate's record and on its card, too.
    """

    model: Path
    folds: tuple[Path, ...]
    evidence: Path
    current: Scores
    candidate: Scores
    scored: Mapping[str, Row]
    decision: AcceptanceResult
    findings: tuple[str, ...]
    summary: Mapping[str, Any]


def finetune(
    folds: list[list[Case]],
    lineage: Lineage,
    folder: Path,
    *,
    name: str,
    options: FinetuneOptions | None = None,
    anatomy: Path | None = None,
    known_scores: Mapping[str, Row] = MappingProxyType({}),
    names: Mapping[str, str] = MappingProxyType({}),
    forgetting_test_set: Sequence[Case] = (),
    restart: bool = False,
    progress: Progress = no_progress,
) -> FinetuneResult:
    """Fine-tune a model on the cases and test the candidate; an interrupted run in `folder` is resumed.

    Each fold's training starts from weights that never saw the fold's cases: of the model in use if it did not, else of
    its fold. The candidate's scores on the fold are compared with those of the weights that the training started from.

    Args:
        folds: The cases, those of a patient in one fold (`Cohort.folds`).
        lineage: The model to fine-tune, and what is left of its folds and ancestors.
        anatomy: Label maps for the synthetic studies mixed in; None for the template head.
        known_scores: Of earlier fine-tunings (`FinetuneResult.scored`).
        names: How the site calls its cases, for the findings.
        forgetting_test_set: Cases that are never trained on, to measure what is forgotten.
        restart: Whether a training on other cases in `folder` is removed; refused otherwise.

    Raises:
        InputError: If there are fewer than 3 cases, a file is faulty, a patient is in both cases and forgetting test
            set, or the folder holds a training on other cases.
        ModelError: If training becomes unstable.
    """
    options = options or FinetuneOptions()
    start = lineage.current
    check_plan(folds, lineage, folder, options, anatomy, forgetting_test_set)
    settings = run_settings(start.hash, folds, options, anatomy)
    with open_run(folder, settings, outputs=OUTPUTS, restart=restart) as others:
        changed = f"The {' and '.join(others)} have changed: starting again"
        progress(0.0, changed if others else "Reading the cases")
        cases = [case for fold in folds for case in fold]
        rounds = len(folds) + (options.combine == "retrain")
        plan = TimePlan(folder, None if options.steps or options.epochs else options.minutes, rounds)
        trainings = Trainings(lineage, folder, name, options, plan, cases, rounds, anatomy, progress)
        scorer = CaseScorer(folder / "evidence", trainings.preparations, known_scores, plan, options.device)
        judged = {case.name: model for fold in folds if (model := lineage.unseen(fold)) is not None for case in fold}
        current = {case.name: scorer.score(case, judged[case.name], "current") for case in cases if case.name in judged}
        trainings.make_synthetic_studies()
        plan.share(len(judged) + 2 * len(forgetting_test_set))
        fold_models, candidate = _train_out_of_fold(folds, lineage, trainings, scorer, judged, options)
        if options.combine == "retrain":
            model = trainings.train("all", start, cases, [], len(folds))
        else:
            model = trainings.combine(fold_models)
        progress(0.98, "Acceptance test")
        decision = run_acceptance_test(
            current,
            candidate,
            patients={case.name: case.patient for case in cases},
            names=names,
            is_copy=_same_weights(model, start),
            forgetting_current={case.name: scorer.score(case, start, "current") for case in forgetting_test_set},
            forgetting_candidate={case.name: scorer.score(case, model, "candidate") for case in forgetting_test_set},
        )
        findings = (*decision.findings, *_left_out(len(cases) - len(judged)), *plan.findings(trainings.fewest_steps))
        evidence = {"current": current, "candidate": candidate, "verdict": findings}
        write_bytes(scorer.folder / "scores.json", (json.dumps(evidence, indent=2) + "\n").encode())
        summary = summarize(decision, start.name, len(cases), current, candidate)
        finished = trainings.finish(model, summary)
        progress(1.0, "Done")
        kept = tuple(fold_model.folder for fold_model in fold_models)
        return FinetuneResult(
            finished.folder, kept, scorer.folder, current, candidate, scorer.scored, decision, findings, summary
        )


def _train_out_of_fold(
    folds: list[list[Case]],
    lineage: Lineage,
    trainings: Trainings,
    scorer: CaseScorer,
    judged: Mapping[str, Model],
    options: FinetuneOptions,
) -> tuple[list[Model], dict[str, Row]]:
    """Return the folds' models, and their scores on the cases that are judged; no model of a fold without a start."""
    models: list[Model] = []
    scores: dict[str, Row] = {}
    for number, fold in enumerate(folds):
        start = lineage.start(fold)
        if start is None:
            continue
        validation = folds[(number + 1) % len(folds)] if options.patience_epochs else []
        cases = [case for other in folds for case in other if case not in fold and case not in validation]
        models.append(trainings.train(f"fold{number}", start, cases, validation, number))
        scores |= {case.name: scorer.score(case, models[-1], "candidate") for case in fold if case.name in judged}
    return models, scores


def _left_out(count: int) -> list[str]:
    if not count:
        return []
    why = "the model in use was trained on them, and no fold of it that was not is kept"
    return [f"{count} cases were trained on but could not be judged: {why}."]


def _same_weights(one: Model, other: Model) -> bool:
    first, second = one.network.state_dict(), other.network.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
