"""From a site's cohort to a new version of its model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from magpie_core.cohort.case import Case
from magpie_core.cohort.cohort import Cohort
from magpie_core.models.model import load_model
from magpie_core.models.registry import find_model, site_versions
from magpie_core.models.versions import Version
from magpie_core.progress import Progress, no_progress
from magpie_core.training.finetuning.finetune import FinetuneResult, finetune
from magpie_core.training.finetuning.options import FinetuneOptions


@dataclass(frozen=True)
class SiteFinetuning:
    """A new version, not yet in use, and its acceptance test.

    Attributes:
        version: In the site's store, with its evidence.
        finetuned: Scores and decision.
        record: What is kept with the version: `start`, `scores`, `current`, `cases`, `accepted`, `verdict` (the
            findings).
    """

    version: Version
    finetuned: FinetuneResult
    record: dict[str, Any]


def finetune_site(
    cohort: Cohort,
    folder: Path,
    *,
    name: str = "",
    model: str = "",
    folds: int = 5,
    options: FinetuneOptions | None = None,
    anatomy: Path | None = None,
    forgetting_test_set: tuple[Case, ...] = (),
    user: str = "",
    restart: bool = False,
    progress: Progress = no_progress,
) -> SiteFinetuning:
    """Fine-tune the version in use (or `model`) on a cohort, and keep the candidate as a new version.

    Args:
        folder: Run folder; an interrupted run in it is resumed.
        name: "site-N" by default.
        folds: Number of folds; no more than there are patients, at least two.
        restart: Whether a training on other cases in `folder` is removed; refused otherwise.

    Raises:
        MagpieError: As `finetune` and `VersionStore.add`.
    """
    site = site_versions()
    active = site.active if not model else None
    start = load_model(find_model(model or None))
    cases = cohort.cases()
    patients = len({case.patient for case in cases})
    name = name or f"site-{len(site.versions()) + 1}"
    done = finetune(
        cohort.folds(max(2, min(folds, patients))),
        start,
        folder,
        name=name,
        options=options,
        anatomy=anatomy,
        known_scores={} if active is None else active.record().get("scores", {}),
        forgetting_test_set=forgetting_test_set,
        restart=restart,
        progress=progress,
    )
    record: dict[str, Any] = {
        "start": start.hash,
        "scores": done.candidate,
        "current": done.current,
        "cases": {case.name: dict(case.digests) for case in cases},
        "accepted": done.decision.accepted,
        "verdict": list(done.decision.findings),
    }
    version = site.add(name, done.model, record, evidence=done.evidence, user=user)
    return SiteFinetuning(version, done, record)
