"""The kinds of jobs a worker does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from magpie_core.errors import InputError
from magpie_core.study.sequence import Sequence
from magpie_core.worker.protocol import JOB_KINDS, Message
from magpie_core.worker.warm_model import WarmModel

_INFERENCE_SHARE = 0.95  # of the progress bar; the rest is reading before and writing after


class Jobs:
    """Runs jobs one after the other, with the last model kept warm."""

    def __init__(self) -> None:
        self._models = WarmModel()

    def run(
        self, job: Message, *, progress: Callable[[float, str], None], warn: Callable[[str], None]
    ) -> dict[str, Any]:
        """Do a job and return the fields of its result message.

        Parameters
        ----------
        job
            A message of type "job".
        progress
            Called with the fraction done (0 to 1) and the stage; may raise `Cancelled`.
        warn
            Called with what the user should know.

        Raises
        ------
        MagpieError
            If the job cannot be done.
        """
        if job["kind"] == "segment":
            return self._segment(job, progress, warn)
        if job["kind"] == "check":
            return self._check()
        raise InputError(
            f"There is no job of kind {job['kind']!r}", cause=f"known are {', '.join(JOB_KINDS)}"
        )

    def _check(self) -> dict[str, Any]:
        from magpie_core.inference.device import describe_computer

        return {"computer": describe_computer()}

    def _segment(
        self, job: Message, progress: Callable[[float, str], None], warn: Callable[[str], None]
    ) -> dict[str, Any]:
        inputs, output = _paths(job)
        progress(0.0, "Reading the images")
        from magpie_core.study.discovery import read_study

        study = read_study(inputs, name=job.get("name"))
        for text in study.warnings:
            warn(text)
        progress(0.01, "Loading the model")
        model = self._models.get(job.get("model"))
        from magpie_core.inference.segment import segment_study
        from magpie_core.report.write import write_results

        prediction = segment_study(
            study,
            model,
            device=job.get("device") or "auto",
            precision=job.get("precision") or "auto",
            threads=job.get("threads"),
            progress=lambda fraction, stage: progress(0.02 + _INFERENCE_SHARE * fraction, stage),
        )
        for text in prediction.warnings:
            if text not in study.warnings:
                warn(text)
        progress(0.97, "Writing the results")
        written = write_results(study, prediction, output)
        progress(1.0, "Done")
        return {name: str(path) for name, path in written.items()}


def _paths(job: Message) -> tuple[dict[Sequence, Path], Path]:
    """The images and the output folder of a segment job."""
    inputs, output = job.get("inputs"), job.get("output")
    if not isinstance(inputs, Mapping) or not inputs or not isinstance(output, str) or not output:
        raise InputError(
            "The job is not complete", cause="'inputs' or 'output' is missing or of a wrong type"
        )
    unknown = [name for name in inputs if name not in Sequence.__members__]
    if unknown:
        raise InputError(
            f"There is no sequence {unknown[0]!r}", cause=f"known are {', '.join(Sequence.__members__)}"
        )
    return {Sequence(name): Path(path) for name, path in inputs.items()}, Path(output)
