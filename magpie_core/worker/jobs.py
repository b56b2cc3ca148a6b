"""The kinds of jobs a worker does: each is a use case of `magpie_core.app`, with the fields of its request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from magpie_core.app.session import Session
from magpie_core.errors import InputError
from magpie_core.imaging.modality import Modality
from magpie_core.progress import Progress
from magpie_core.storage.config import from_plain, to_plain
from magpie_core.worker.protocol import JOB_KINDS, Message

# Module of `magpie_core.app`, and the name of its request; the function has the kind's own name.
_REQUESTS: Mapping[str, str] = {
    "segment": "SegmentRequest",
    "sample": "SampleRequest",
    "read_images": "ReadImagesRequest",
    "add_case": "AddCaseRequest",
    "rank": "RankRequest",
    "finetune": "FinetuneRequest",
    "explain": "ExplainRequest",
    "attention": "AttentionRequest",
}
assert (*_REQUESTS, "describe_computer") == JOB_KINDS


class Jobs:
    """Runs jobs one after the other, in one session: the model and the last studies stay in memory."""

    def __init__(self) -> None:
        self._session = Session()

    def run(self, job: Message, *, progress: Progress, warn: Callable[[str], None]) -> dict[str, Any]:
        """Do a job and return the fields of its result message.

        Args:
            job: A message of type "job".
            progress: Called with the fraction done (0 to 1) and the stage; may raise `Cancelled`.
            warn: Called with what the user should know.

        Raises:
            MagpieError: If the job cannot be done.
        """
        kind = job["kind"]
        if kind == "describe_computer":
            from magpie_core.networks.device import describe_computer

            return {"computer": describe_computer()}
        if kind not in _REQUESTS:
            raise InputError(f"There is no job of kind {kind!r}", cause=f"known are {', '.join(JOB_KINDS)}")
        module = import_module(f"magpie_core.app.{kind}")
        request = read_request(getattr(module, _REQUESTS[kind]), job)
        use_case = getattr(module, kind)
        session = {"session": self._session} if "session" in signature(use_case).parameters else {}
        result = use_case(request, progress=progress, **session)
        for text in getattr(result, "warnings", ()):
            warn(text)
        answer = getattr(result, "files", None) if kind == "segment" else None
        return _plain(_explained(result) if kind == "explain" else answer or result)


def read_request(kind: type, job: Mapping[str, Any]) -> Any:
    """Build the request of a use case from a job message.

    Raises:
        InputError: If a field is unknown, missing or of the wrong type, or a modality is unknown.
    """
    values = {name: value for name, value in job.items() if name not in ("v", "type", "id", "kind")}
    try:
        if "images" in values:
            values["images"] = _images(values["images"])
        return from_plain(kind, {name: value for name, value in values.items() if value is not None})
    except ValueError as error:
        raise InputError("The job is not complete", cause=str(error)) from error


def _images(value: object) -> Path | dict[Modality, Path]:
    if isinstance(value, str) and value:
        return Path(value)
    if not isinstance(value, Mapping) or not value:
        raise ValueError("images must be a path, or the path of each modality")
    unknown = [name for name in value if name not in Modality.__members__]
    if unknown:
        raise ValueError(f"there is no modality {unknown[0]!r}, known are {', '.join(Modality.__members__)}")
    return {Modality(name): Path(path) for name, path in value.items()}


def _explained(result: Any) -> dict[str, Any]:
    """What a panel shows of an explanation."""
    template = None
    if result.alignment is not None:
        from magpie_core.io.nifti import write_volume

        path = Path(result.files["dominant"]).with_name("template.nii")
        write_volume(result.alignment.template, path)
        template = {"path": path, "matrix": result.alignment.matrix.tolist()}
    return {
        "maps": result.files["maps"],
        "dominant": result.files["dominant"],
        "agreement": [row.as_dict() for row in result.agreement],
        "token_mm": result.maps.token_mm,
        "layers": result.layers,
        "layer": result.layer,
        "names": [result.names.get(number, "") for number in range(result.maps.experts)],
        "reference": result.prediction.reference,
        "template": template,
        "no_template": result.no_template,
        "no_attention": result.no_attention,
    }


def _plain(value: Any) -> Any:
    """Return plain values, with paths as text."""
    plain = to_plain(value)
    if isinstance(plain, dict):
        return {key: _plain(item) for key, item in plain.items()}
    if isinstance(plain, list):
        return [_plain(item) for item in plain]
    return str(plain) if isinstance(plain, Path) else plain
