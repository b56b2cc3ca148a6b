"""Use case: add a corrected study to a cohort."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from magpie_core.app.requests import StudyRequest
from magpie_core.app.session import Session
from magpie_core.progress import Progress, no_progress, part_of


@dataclass(frozen=True, kw_only=True)
class AddCaseRequest(StudyRequest):
    """A corrected study.

    Attributes:
        cohort: Folder of the cohort; it is made where there is an empty folder or none.
        labels: The corrected segmentation, on the grid of one of the images.
        schema: Label schema of `labels`; by default that of the sidecar beside the file.
        patient: As the site names the patient; only a salted hash of it is kept.
        visit: Letters and digits; the next number by default.
        annotator: Who corrected it.
        proposal: The segmentation that the model proposed, to measure what was changed.
    """

    cohort: Path
    labels: Path
    schema: str | None = None
    patient: str = ""
    visit: str = ""
    annotator: str = ""
    proposal: Path | None = None


@dataclass(frozen=True)
class AddCaseResult:
    """The case's name, the fraction of the tumor that was changed (None without a proposal), and the cases now."""

    case: str
    edited: float | None
    cases: int
    warnings: tuple[str, ...]


def add_case(
    request: AddCaseRequest, *, session: Session | None = None, create: bool = True, progress: Progress = no_progress
) -> AddCaseResult:
    """Check a corrected study, and keep it in the cohort together with how its images were prepared.

    Raises:
        InputError: If the labels do not fit the images, or the case is there already.
        ResourceError: If the cohort cannot be written; then nothing was added.
    """
    from magpie_core.cohort.cohort import Cohort
    from magpie_core.io.segmentation_file import read_segmentation

    session = session or Session()
    progress(0.0, "Reading the images")
    study = request.read()
    labels = read_segmentation(request.labels, request.schema)
    proposal = None if request.proposal is None else read_segmentation(request.proposal)
    folder = request.cohort
    new = create and (not folder.exists() or not any(folder.iterdir()))
    cohort = Cohort.create(folder, user=request.annotator) if new else Cohort(folder)
    prepared = session.preparations.prepare(study, progress=part_of(progress, 0.1, 0.8))
    progress(0.8, "Adding the case")
    case = cohort.add(
        study,
        labels,
        patient=request.patient,
        user=request.annotator,
        visit=request.visit,
        proposal=proposal,
        preparation=prepared if prepared.changed else None,
    )
    progress(1.0, "Done")
    warnings = tuple(dict.fromkeys((*study.warnings, *prepared.warnings)))
    return AddCaseResult(case.name, case.edited, len(cohort.cases()), warnings)
