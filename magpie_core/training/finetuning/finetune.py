"""Teaching a model a site's own cases: out of fold to know, then on all of them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from torch import Tensor

from magpie_core.cohort.case import Case
from magpie_core.errors import InputError, ModelError
from magpie_core.evaluation.region_metrics import evaluate_case
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.volume import Volume
from magpie_core.inference.segment import segment_study
from magpie_core.io.discovery import read_study
from magpie_core.io.segmentation_file import read_segmentation, write_segmentation
from magpie_core.models.model import Model, load_model, save_model
from magpie_core.networks.build import AnyConfig
from magpie_core.networks.config import NetworkConfig
from magpie_core.networks.ensemble import EnsembleConfig
from magpie_core.storage.atomic import write_bytes
from magpie_core.training.checkpoints import load_checkpoint
from magpie_core.training.finetuning.gate import Scores, Verdict, judge
from magpie_core.training.finetuning.options import FinetuneOptions
from magpie_core.training.fixed_synthetic_set import FixedSyntheticSet
from magpie_core.training.labeled_cases import nearest, pack_case
from magpie_core.training.patch_sampling import interpolate_weights, train_on_cases
from magpie_core.training.run_folder import open_run
from magpie_core.training.sample import Sample
from magpie_core.training.validation import Validation

LEAST_CASES = 3
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Finetuned:
    """A candidate and what is known of it.

    Attributes
    ----------
    model
        Folder of the candidate, taught on all cases.
    evidence
        Folder of its out-of-fold predictions and scores.
    current, candidate
        Dice by case and region, each by weights that did not see the case.
    verdict
        Of the gate.
    """

    model: Path
    evidence: Path
    current: Scores
    candidate: Scores
    verdict: Verdict


def finetune(
    folds: list[list[Case]],
    start: Model,
    folder: Path,
    *,
    name: str,
    options: FinetuneOptions | None = None,
    anatomy: Path | None = None,
    known_scores: Scores | None = None,
    sentinels: Sequence[Case] = (),
    anew: bool = False,
    progress: Progress | None = None,
) -> Finetuned:
    """Teach `start` the cases and judge the result; an interrupted run in `folder` goes on where it was.

    Parameters
    ----------
    folds
        The cases, those of a patient in one fold (`Cohort.folds`).
    name
        What to call the candidate.
    anatomy
        Label maps for the synthetic studies mixed in; None for the template head.
    known_scores
        Of `start` on cases that taught it, from models that did not see them; it is scored afresh on the others.
    sentinels
        Cases that never teach, to notice what is forgotten.
    anew
        Whether the teaching of other cases in `folder` is removed; refused otherwise.
    progress
        Called with the share done and the stage in words; may raise Cancelled.

    Raises
    ------
    InputError
        If there are fewer than 3 cases, a file is faulty, a sentinel is among the cases, or the folder holds the
        teaching of others.
    ModelError
        If training becomes unstable.
    """
    options = options or FinetuneOptions()
    cases = [case for fold in folds for case in fold]
    _check(folds, cases, sentinels, options)
    tell = progress or (lambda share, stage: None)
    told = {
        "starting model": start.hash,
        "cases": [{case.name: dict(case.digests) for case in fold} for fold in folds],
        "early stopping": bool(options.patience_epochs),
        "combination": options.combine,
    }
    with open_run(folder, told, learned=("fold*", "all", "evidence"), anew=anew) as changed:
        tell(0.0, "The cases have changed: beginning anew" if changed else "Reading the cases")
        spacing_mm = start.description.spacing_mm
        samples = {
            case.name: pack_case(
                read_study(case.folder), read_segmentation(case.labels), spacing_mm, name=case.name
            )
            for case in cases
        }
        shelf = None
        if options.replay_studies:
            shelf = FixedSyntheticSet(
                folder / "replay",
                options.replay_studies,
                spacing_mm=spacing_mm * start.network.config.backbone_stride,
                anatomy=anatomy,
                seed=options.seed,
            )
            shelf.fill(lambda share: tell(0.05 * share, "Making synthetic studies"))
        training = _Training(start, shelf, folder, name, options, len(folds) + (options.combine == "retrain"))
        evidence = folder / "evidence"
        evidence.mkdir(exist_ok=True)
        current: dict[str, dict[str, float]] = {}
        candidate: dict[str, dict[str, float]] = {}
        members = []
        for number, judging in enumerate(folds):
            stopping = folds[(number + 1) % len(folds)] if options.patience_epochs else []
            taught = [samples[case.name] for case in cases if case not in judging and case not in stopping]
            watched = [samples[case.name] for case in stopping]
            model = training.run(f"fold{number}", taught, watched, tell, number)
            members.append(model)
            for case in judging:
                candidate[case.name] = _scored(case, model, evidence / f"{case.name}_candidate.nii.gz")
                known = (known_scores or {}).get(case.name)
                current[case.name] = dict(
                    known
                    if known is not None
                    else _scored(case, start, evidence / f"{case.name}_current.nii.gz")
                )
        if options.combine == "retrain":
            model = training.run("all", list(samples.values()), [], tell, len(folds))
        else:
            model = training.combined(members, [sample.name for sample in samples.values()])
        kept_apart = [
            {case.name: _scored(case, which, evidence / f"{case.name}_{role}.nii.gz") for case in sentinels}
            for which, role in ((start, "current"), (model, "candidate"))
        ]
        verdict = judge(current, candidate, sentinel_current=kept_apart[0], sentinel_candidate=kept_apart[1])
        scores = {
            "current": current,
            "candidate": candidate,
            "sentinels": {"current": kept_apart[0], "candidate": kept_apart[1]},
            "verdict": list(verdict.sentences),
        }
        write_bytes(evidence / "scores.json", (json.dumps(scores, indent=2) + "\n").encode())
        tell(1.0, "Done")
        return Finetuned(model.folder, evidence, current, candidate, verdict)


def _check(
    folds: list[list[Case]], cases: list[Case], sentinels: Sequence[Case], options: FinetuneOptions
) -> None:
    if len(cases) < LEAST_CASES:
        raise InputError(
            f"At least {LEAST_CASES} corrected cases are needed",
            cause=f"there are {len(cases)}",
            remedy="Correct a few more; about 20 are worth the wait",
        )
    if options.patience_epochs and len(folds) < 3:
        raise InputError(
            "Stopping early needs three folds",
            cause="one teaches, one says when to stop, one judges",
            remedy="Add cases of other patients, use more folds, or do not stop early",
        )
    patients = {case.patient for case in cases} & {case.patient for case in sentinels}
    if patients:
        raise InputError(
            "A patient is among the cases that teach and among those kept apart",
            remedy="Remove the patient from one of them",
            source=", ".join(sorted(patients)),
        )


@dataclass(frozen=True)
class _Training:
    """The trainings of one fine-tuning, all from the same start."""

    start: Model
    shelf: FixedSyntheticSet | None
    folder: Path
    name: str
    options: FinetuneOptions
    runs: int

    def run(
        self, part: str, samples: list[Sample], watched: list[Sample], tell: Progress, number: int
    ) -> Model:
        """One training; done already if its model is there."""
        folder = self.folder / part
        target = folder / "model"
        if target.exists():
            return load_model(target)
        options = self.options

        def progress(share: float) -> None:
            tell(0.05 + 0.9 * (number + share) / self.runs, f"Teaching, round {number + 1} of {self.runs}")

        progress(0.0)
        network = copy.deepcopy(self.start.network)
        steps = self._usual_steps() if part == "all" else None
        steps = steps or options.steps_of(len(samples))
        loop = replace(
            options.loop,
            budget_steps=steps or 1_000_000,
            budget_minutes=float("inf") if steps else options.minutes / self.runs,
            seed=options.seed,
        )
        validation = None
        if watched:
            epoch = options.steps_per_epoch(len(samples))
            if network.config.backbone_stride == 2:
                watched = [sample.halved() for sample in watched]
            validation = Validation(watched, every_steps=epoch, patience=options.patience_epochs)
        weights = train_on_cases(
            network,
            samples,
            self.shelf,
            folder,
            loop,
            recipe=options.recipe,
            validation=validation,
            on_progress=lambda share, _: progress(share),
        )
        name = self.name if part == "all" else f"{self.name}-{part}"
        taught = [sample.name for sample in samples]
        weights = interpolate_weights(weights, self.start.network.state_dict(), options.interpolate_weights)
        return self._save(target, name, taught, weights, network.config)

    def combined(self, members: list[Model], taught: list[str]) -> Model:
        """The folds' models as one: the mean of their weights, or all of them side by side."""
        target = self.folder / "all" / "model"
        if target.exists():
            return load_model(target)
        states = [member.network.state_dict() for member in members]
        config = members[0].network.config
        if self.options.combine == "average":
            weights = {key: torch.stack([state[key] for state in states]).mean(dim=0) for key in states[0]}
            return self._save(target, self.name, taught, weights, config)
        if not isinstance(config, NetworkConfig):
            raise ModelError(
                "An ensemble of such models cannot be made",
                cause="the starting model is made of several networks itself",
                remedy="Use --combine average",
            )
        weights = {
            f"members.{number}.{key}": value
            for number, state in enumerate(states)
            for key, value in state.items()
        }
        return self._save(target, self.name, taught, weights, EnsembleConfig(config, len(members)))

    def _usual_steps(self) -> int | None:
        """Where the folds' trainings were at their best, if that was watched."""
        if not self.options.patience_epochs:
            return None
        reached = []
        for folder in sorted(self.folder.glob("fold*")):
            state = load_checkpoint(folder) or {}
            cases = len(load_model(folder / "model").description.training["cases"])
            looks_since = state["validation"][2]
            reached.append(state["step"] - looks_since * self.options.steps_per_epoch(cases))
        return max(1, round(mean(reached)))

    def _save(
        self, target: Path, name: str, taught: list[str], weights: dict[str, Tensor], config: AnyConfig
    ) -> Model:
        start = self.start
        description = replace(
            start.description,
            name=name,
            version="1",
            network=config.to_dict(),
            # Found for the starting model: of this one it is not known.
            postprocessing=replace(start.description.postprocessing, interval_thresholds={}),
            training={
                "data": f"{len(taught)} corrected cases after {start.name}",
                "start": start.hash,
                "cases": taught,
                "seed": self.options.seed,
            },
        )
        card = (
            f"# {name}\n\n{start.name}, taught {len(taught)} corrected cases of a site. "
            f"Research use only, not for clinical decisions.\n"
        )
        save_model(target, description, weights, card=card)
        return load_model(target)


def _scored(case: Case, model: Model, path: Path) -> dict[str, float]:
    """Dice by region of a model on a case; the prediction is kept at `path`."""
    truth = read_segmentation(case.labels)
    if path.exists():
        found = read_segmentation(path)
    else:
        found = segment_study(read_study(case.folder), model).segmentation
        if not found.geometry.matches(truth.geometry, 0.05):
            labels = nearest(Volume(found.labels, found.affine), truth.affine, truth.labels.shape)
            found = Segmentation(np.asarray(labels), truth.affine, found.schema)
        write_segmentation(found, path)
    return {region: scores["dice"] for region, scores in evaluate_case(found, truth).items()}
