"""What a job may use beside its message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from magpie_core.errors import InputError
from magpie_core.imaging.modality import Modality
from magpie_core.worker.model_cache import ModelCache
from magpie_core.worker.protocol import Message


@dataclass(frozen=True)
class JobContext:
    """Handed to every job.

    Attributes
    ----------
    models
        The model of the last job, warm.
    progress
        Called with the fraction done (0 to 1) and the stage; may raise `Cancelled`.
    warn
        Called with what the user should know.
    """

    models: ModelCache
    progress: Callable[[float, str], None]
    warn: Callable[[str], None]


def path_of(job: Message, field: str) -> Path:
    """A path that the job needs.

    Raises
    ------
    InputError
        If it is missing.
    """
    value = job.get(field)
    if not isinstance(value, str) or not value:
        raise InputError("The job is not complete", cause=f"{field!r} is missing or of a wrong type")
    return Path(value)


def images_of(job: Message) -> dict[Modality, Path]:
    """The images of a job by modality.

    Raises
    ------
    InputError
        If there is none, or a modality is unknown.
    """
    inputs = job.get("inputs")
    if not isinstance(inputs, Mapping) or not inputs:
        raise InputError("The job is not complete", cause="'inputs' is missing or of a wrong type")
    unknown = [name for name in inputs if name not in Modality.__members__]
    if unknown:
        raise InputError(
            f"There is no modality {unknown[0]!r}", cause=f"known are {', '.join(Modality.__members__)}"
        )
    return {Modality(name): Path(path) for name, path in inputs.items()}
