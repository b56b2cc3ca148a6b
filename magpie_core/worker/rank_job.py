"""Which studies to annotate next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from magpie_core.errors import MagpieError
from magpie_core.worker.job_context import JobContext, path_of
from magpie_core.worker.protocol import Message


def rank(job: Message, context: JobContext) -> dict[str, Any]:
    """Job "rank": folder of studies, model -> `studies`: rows of folder, why ("uncertain", "random"), uncertainty."""
    folder = path_of(job, "folder")
    context.progress(0.0, "Looking for studies")
    from magpie_core.cohort.ranking import rank_studies
    from magpie_core.inference.routing_capture import RoutingCapture
    from magpie_core.inference.segment import segment_study
    from magpie_core.inference.uncertainty import tumor_uncertainty
    from magpie_core.io.discovery import read_study

    model = context.models.get(job.get("model"))
    folders = sorted(path for path in Path(folder).iterdir() if path.is_dir() and path.name[0] != ".")
    scores: dict[str, float] = {}
    for index, study in enumerate(folders):
        context.progress(index / len(folders), f"Study {index + 1} of {len(folders)}")
        try:
            capture = RoutingCapture()
            prediction = segment_study(read_study(study), model, capture=capture)
            scores[str(study)] = tumor_uncertainty(prediction, capture)
        except MagpieError as error:
            context.warn(f"Left out: {error}")
    rows = [
        {"folder": name, "why": why, "uncertainty": round(scores[name], 4)}
        for name, why in rank_studies(scores)
    ]
    context.progress(1.0, "Done")
    return {"studies": rows}
