"""Use case: add a corrected study to a cohort."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from magpie_core.app.requests import StudyRequest
from magpie_core.app.session import Session
from magpie_core.progress import Progress, no_progress, part_of


@dataclass(frozen=True, kw_only=True)
class AddCaseRequest(StudyRequest):
    """A corrected study.

    Attributes:
        cohort: Folder of the cohort; it is made where there is an empty folder or none.
    """

    cohort: Path
    annotator: str = ""
    labels: Annotated[Path, "Corrected segmentation, on the grid of one of the images."]
    patient: Annotated[str, "Identifier of the patient at your site; only a salted hash is kept."] = ""
    schema: Annotated[str | None, "Label schema, if the segmentation has no sidecar."] = None
    visit: Annotated[str, "Name of the visit, letters and digits (default: the next number)."] = ""
    proposal: Annotated[Path | None, "Segmentation by the model, to measure the correction."] = None


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
