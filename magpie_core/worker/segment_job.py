"""A study's images to its segmentation."""

from __future__ import annotations

from typing import Any

from magpie_core.worker.job_context import JobContext, images_of, path_of
from magpie_core.worker.protocol import Message

_INFERENCE_SHARE = 0.95  # of the progress bar; the rest is reading before and writing after


def segment(job: Message, context: JobContext) -> dict[str, Any]:
    """Job "segment": inputs, output, name, model, device, precision, threads, picture -> paths of what was written."""
    inputs, output = images_of(job), path_of(job, "output")
    context.progress(0.0, "Reading the images")
    from magpie_core.io.discovery import read_study

    study = read_study(inputs, name=job.get("name"))
    for text in study.warnings:
        context.warn(text)
    context.progress(0.01, "Loading the model")
    model = context.models.get(job.get("model"))
    from magpie_core.inference.segment import segment_study
    from magpie_core.report.write import write_results

    prediction = segment_study(
        study,
        model,
        device=job.get("device") or "auto",
        precision=job.get("precision") or "auto",
        threads=job.get("threads"),
        progress=lambda fraction, stage: context.progress(0.02 + _INFERENCE_SHARE * fraction, stage),
    )
    for text in prediction.warnings:
        if text not in study.warnings:
            context.warn(text)
    context.progress(0.97, "Writing the results")
    written = write_results(study, prediction, output, picture=job.get("picture", True))
    return {name: str(path) for name, path in written.items()}
