"""Use case: add a corrected study to a cohort."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from magpie_core.app.requests import StudyRequest
from magpie_core.app.session import Session
from magpie_core.cohort.label_options import LabelOptions
from magpie_core.progress import Progress, no_progress, part_of


@dataclass(frozen=True, kw_only=True)
class AddCaseRequest(StudyRequest, LabelOptions):
    """A corrected study.

    Attributes:
        cohort: Folder of the cohort; it is made where there is an empty folder or none.
    """

    cohort: Path
    annotator: str = ""
    labels: Annotated[
        Path, "Corrected segmentation, on the grid of one of the images: .nii.gz, .nrrd, .seg.nrrd, .mha or DICOM SEG."
    ]
    patient: Annotated[str, "Identifier of the patient at your site; the cohort keeps only a salted hash."] = ""
    visit: Annotated[str, "Name of the visit, letters and digits (default: the next number)."] = ""
    proposal: Annotated[Path | None, "Segmentation by the model, to measure the correction."] = None


@dataclass(frozen=True)
class AddCaseResult:
    """The case's name, the fraction of the tumor that was changed (None without a proposal), and the cases now.

    Attributes:
        volumes_ml: What was stored, by tissue.
    """

    case: str
    edited: float | None
    cases: int
    warnings: tuple[str, ...]
    volumes_ml: Mapping[str, float] = field(default_factory=dict)


def add_case(
    request: AddCaseRequest, *, session: Session | None = None, create: bool = True, progress: Progress = no_progress
) -> AddCaseResult:
    """Check a corrected study, and keep it in the cohort together with how its images were prepared.

    Raises:
        InputError: If the labels do not fit the images, or the case is there already; `ConfirmationNeeded` if they may
            be a slip.
        ResourceError: If the cohort cannot be written; then nothing was added.
    """
    from magpie_core.cohort.case_checks import check_names
    from magpie_core.cohort.cohort import Cohort
    from magpie_core.cohort.importing import read_labeled

    session = session or Session()
    progress(0.0, "Reading the images")
    folder = request.cohort
    new = create and (not folder.exists() or not any(folder.iterdir()))
    cohort = None if new else Cohort(folder)
    study = request.read()
    check_names(request.patient, request.visit, source=study.name)
    labeled = read_labeled(
        study,
        request.labels,
        request,
        session.preparations,
        proposal=request.proposal,
        progress=part_of(progress, 0.1, 0.9),
    )
    # Made last: where the case is refused, no empty cohort is left behind.
    cohort = cohort or Cohort.create(folder, user=request.annotator)
    case, volumes_ml, notes = labeled.add_to(
        cohort, patient=request.patient, user=request.annotator, visit=request.visit
    )
    progress(1.0, "Done")
    return AddCaseResult(case.name, case.edited, len(cohort.cases()), tuple(dict.fromkeys(notes)), volumes_ml)
