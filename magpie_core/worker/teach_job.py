"""A cohort to a new version of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from magpie_core.worker.job_context import JobContext, path_of
from magpie_core.worker.protocol import Message


def teach(job: Message, context: JobContext) -> dict[str, Any]:
    """Job "teach": cohort, run, minutes or steps, replay, who, model, anatomy -> `version`, `accepted`, `sentences`.

    The version is kept, and not in use before it is promoted. Stopped at any time, the same job goes on; if the
    cohort is another by then, from the beginning.
    """
    cohort, run = path_of(job, "cohort"), path_of(job, "run")
    context.progress(0.0, "Starting")
    import torch

    from magpie_core.cohort.cohort import Cohort
    from magpie_core.training.finetuning.options import FinetuneOptions
    from magpie_core.training.finetuning.site import finetune_site

    torch.set_flush_denormal(True)
    steps = job.get("steps")
    options = FinetuneOptions(
        minutes=float(job.get("minutes") or 90.0),
        steps=None if steps is None else int(steps),
        replay_studies=int(150 if job.get("replay") is None else job["replay"]),
    )
    anatomy = job.get("anatomy")
    taught = finetune_site(
        Cohort(cohort),
        run,
        name=str(job.get("name") or ""),
        model=str(job.get("model") or ""),
        options=options,
        anatomy=None if anatomy is None else Path(anatomy),
        who=str(job.get("who") or ""),
        anew=True,
        progress=context.progress,
    )
    verdict = taught.finetuned.verdict
    return {
        "version": taught.version.name,
        "accepted": verdict.accepted,
        "sentences": list(verdict.sentences),
    }
