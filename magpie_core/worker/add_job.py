"""A corrected study into a cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from magpie_core.worker.job_context import JobContext, images_of, path_of
from magpie_core.worker.protocol import Message


def add_case(job: Message, context: JobContext) -> dict[str, Any]:
    """Job "add": cohort, inputs, labels, patient, who, proposal -> `case`, `edited` (0 to 1 or None), `cases`.

    A cohort is made where there is an empty or no folder.
    """
    folder, labels = path_of(job, "cohort"), path_of(job, "labels")
    context.progress(0.0, "Reading the images")
    from magpie_core.cohort.cohort import Cohort
    from magpie_core.io.discovery import read_study
    from magpie_core.io.segmentation_file import read_segmentation

    who = str(job.get("who") or "")
    study = read_study(images_of(job), name=job.get("name"))
    proposal = job.get("proposal")
    context.progress(0.3, "Adding the case")
    new = not folder.exists() or not any(folder.iterdir())
    cohort = Cohort.create(folder, who=who) if new else Cohort(folder)
    case = cohort.add(
        study,
        read_segmentation(labels),
        patient=str(job.get("patient") or ""),
        who=who,
        proposal=read_segmentation(Path(proposal)) if proposal else None,
    )
    context.progress(1.0, "Done")
    return {"case": case.name, "edited": case.edited, "cases": len(cohort.cases())}
