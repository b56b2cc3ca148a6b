"""Scores of models on a cohort's cases; the predictions are kept as evidence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from magpie_core.cohort.case import Case
from magpie_core.evaluation.region_metrics import evaluate_case
from magpie_core.inference.segment import segment_study
from magpie_core.io.discovery import read_study
from magpie_core.io.segmentation_file import read_segmentation, write_segmentation
from magpie_core.models.model import Model
from magpie_core.preprocessing.preparation_cache import PreparationCache
from magpie_core.training.finetuning.time_plan import TimePlan
from magpie_core.training.labeled_cases import place_on_labels

Row = Mapping[str, float]
"""Dice by region."""


class CaseScorer:
    """Scores models on cases; what was scored before, or is known, is not scored again.

    Args:
        folder: Where predictions are kept; it is made.
        device: Of the training; a GPU without enough memory for a whole brain gives way to the CPU.
        known: Scores by the hash of the model and the content of the case (`key`), of earlier fine-tunings.

    Attributes:
        scored: All scores that were asked for, as `known`.
    """

    def __init__(
        self, folder: Path, preparations: PreparationCache, known: Mapping[str, Row], plan: TimePlan, device: str
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.scored: dict[str, Row] = {}
        self._preparations, self._known, self._plan = preparations, known, plan
        self._device = device if device == "cpu" else "auto"

    def score(self, case: Case, model: Model, role: str) -> Row:
        """Compute the Dice by region of a model on a case; the prediction is kept under the case's name and `role`."""
        name = key(case, model)
        if name not in self.scored:
            self.scored[name] = dict(self._known[name]) if name in self._known else self._compute(case, model, role)
        return self.scored[name]

    def _compute(self, case: Case, model: Model, role: str) -> Row:
        path = self.folder / f"{case.name}_{role}.nii.gz"
        reference = read_segmentation(case.labels)
        if path.exists():
            predicted = read_segmentation(path)
        else:
            with self._plan.spend("scoring"):
                study = read_study(case.images, name=case.name)
                prediction = segment_study(study, model, device=self._device, preparations=self._preparations)
                predicted = place_on_labels(prediction.segmentation, reference, prediction.prepared)
                write_segmentation(predicted, path)
        return {region: float(scores["dice"]) for region, scores in evaluate_case(predicted, reference).items()}


def key(case: Case, model: Model) -> str:
    """Return what a score belongs to: the model and the case, by their content."""
    return f"{model.hash} {case.content}"
