"""The kinds of jobs a worker does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from magpie_core.errors import InputError
from magpie_core.worker.add_job import add_case
from magpie_core.worker.attend_job import attend
from magpie_core.worker.explain_job import explain
from magpie_core.worker.job_context import JobContext
from magpie_core.worker.model_cache import ModelCache
from magpie_core.worker.protocol import JOB_KINDS, Message
from magpie_core.worker.rank_job import rank
from magpie_core.worker.read_job import read_dicom
from magpie_core.worker.sample_job import make_sample
from magpie_core.worker.segment_job import segment
from magpie_core.worker.teach_job import teach


def _check(job: Message, context: JobContext) -> dict[str, Any]:
    """Job "check" -> `computer`, what it can do."""
    from magpie_core.networks.device import describe_computer

    return {"computer": describe_computer()}


_JOBS: Mapping[str, Callable[[Message, JobContext], dict[str, Any]]] = {
    "segment": segment,
    "check": _check,
    "sample": make_sample,
    "read": read_dicom,
    "add": add_case,
    "rank": rank,
    "teach": teach,
    "explain": explain,
    "attend": attend,
}
assert tuple(_JOBS) == JOB_KINDS


class Jobs:
    """Runs jobs one after the other, with the last model kept warm."""

    def __init__(self) -> None:
        self._models = ModelCache()

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
        if job["kind"] not in _JOBS:
            raise InputError(
                f"There is no job of kind {job['kind']!r}", cause=f"known are {', '.join(JOB_KINDS)}"
            )
        return _JOBS[job["kind"]](job, JobContext(self._models, progress, warn))
