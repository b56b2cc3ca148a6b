"""Where the network's attention looks from a place of a study."""

from __future__ import annotations

from typing import Any

from magpie_core.errors import InputError
from magpie_core.worker.job_context import JobContext, images_of
from magpie_core.worker.protocol import Message


def attend(job: Message, context: JobContext) -> dict[str, Any]:
    """Job "attend": inputs, at (RAS mm), model, device -> `points`, each as `AttentionPoint`."""
    inputs, place = images_of(job), job.get("at")
    if not isinstance(place, list) or len(place) != 3 or not all(isinstance(n, int | float) for n in place):
        raise InputError("The job is not complete", cause="'at' is missing or of a wrong type")
    context.progress(0.0, "Reading the images")
    from magpie_core.experts.attention import attend_study, check_attention
    from magpie_core.io.discovery import read_study

    model = context.models.get(job.get("model"))
    check_attention(model)
    points = attend_study(
        read_study(inputs, name=job.get("name")),
        model,
        (float(place[0]), float(place[1]), float(place[2])),
        device=job.get("device") or "auto",
        progress=lambda share, stage: context.progress(0.05 + 0.95 * share, stage),
    )
    return {"points": [point.as_dict() for point in points]}
