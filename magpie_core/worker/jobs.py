"""The kinds of jobs a worker does: each is a use case of `magpie_core.app`, with the fields of its request."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from magpie_core.app.requests import build_request
from magpie_core.app.session import Session
from magpie_core.errors import InputError
from magpie_core.progress import Progress
from magpie_core.storage.config import to_plain
from magpie_core.worker.protocol import Message

# Modules of `magpie_core.app`, each with a function of the same name.
_USE_CASES = ("segment", "sample", "read_images", "add_case", "rank", "finetune", "explain", "attention")


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
        if kind not in _USE_CASES:
            raise InputError(f"There is no job of kind {kind!r}", cause=f"known are {', '.join(_USE_CASES)}")
        module = import_module(f"magpie_core.app.{kind}")
        values = {name: value for name, value in job.items() if name not in ("v", "type", "id", "kind")}
        request = build_request(getattr(module, f"{kind.title().replace('_', '')}Request"), **values)
        use_case = getattr(module, kind)
        session = {"session": self._session} if "session" in signature(use_case).parameters else {}
        result = use_case(request, progress=progress, **session)
        for text in getattr(result, "warnings", ()):
            warn(text)
        answer = getattr(result, "files", None) if kind == "segment" else None
        return to_plain(_explained(result) if kind == "explain" else answer or result)


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
