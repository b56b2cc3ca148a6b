"""The messages between a panel and its worker: one JSON object a line, versioned, without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from magpie_core.errors import MagpieError

VERSION = 2
HEARTBEAT_S = 2.0
PRIVATE_FOLDER_PREFIX = "magpie-panel-"

Message = dict[str, Any]

# What each type of message must carry; more fields are allowed, so that a version can grow.
_FIELDS: Mapping[str, Mapping[str, type | tuple[type, ...]]] = {
    # worker to panel
    "hello": {"pid": int, "magpie": str, "python": str},
    "progress": {"id": str, "fraction": (int, float), "stage": str},
    "warning": {"id": str, "text": str},
    "result": {"id": str},
    "error": {"kind": str, "what": str, "cause": str, "remedy": str},
    "heartbeat": {},
    # panel to worker
    "job": {"id": str, "kind": str},
    "cancel": {"id": str},
    "shutdown": {},
}


class ProtocolError(MagpieError):
    """A line that is not a message of this protocol."""


def message(name: str, /, **fields: Any) -> Message:
    """Return a message of a type, with its fields: see `_FIELDS`."""
    return {"v": VERSION, "type": name, **fields}


def progress(identifier: str, fraction: float, stage: str) -> Message:
    """Return how far a job is (0 to 1), and what it is doing."""
    return message("progress", id=identifier, fraction=round(min(max(fraction, 0.0), 1.0), 4), stage=stage)


def error(identifier: str | None, failure: MagpieError, *, kind: str = "", **fields: Any) -> Message:
    """Return the end of a job that failed, or (without an identifier) a line that was not understood.

    `kind` names the failure for a program, by default the class of the error: "InputError", "Cancelled", ...
    """
    described = failure.as_dict()
    return message("error", id=identifier, **{**described, "kind": kind or described["kind"]}, **fields)


def encode(message: Message) -> bytes:
    """One line, ASCII, so that any path survives any encoding of the pipe."""
    return json.dumps(message, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def decode(line: bytes | str) -> Message:
    """Read one line.

    Raises:
        ProtocolError: If it is not JSON, of another version or unknown type, or if a field is missing or of a wrong
            type.
    """
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("A line is not a message", cause=f"not JSON ({error})") from error
    if not isinstance(message, dict):
        raise ProtocolError("A line is not a message", cause="not a JSON object")
    if message.get("v") != VERSION:
        raise ProtocolError(
            "A message has another version of the protocol",
            cause=f"{message.get('v')!r} where {VERSION} is expected",
            remedy="Install panel and magpie_core from the same release, then restart",
        )
    kind = message.get("type")
    fields = _FIELDS.get(kind) if isinstance(kind, str) else None
    if fields is None:
        raise ProtocolError("A message has an unknown type", cause=f"{kind!r}; known are {', '.join(_FIELDS)}")
    for name, expected in fields.items():
        if not isinstance(message.get(name), expected):
            raise ProtocolError(
                f"A message of type {kind!r} is not complete", cause=f"{name!r} is missing or of a wrong type"
            )
    return message


def identifier_of(line: bytes | str) -> str | None:
    """The identifier in a line that is no message, if it has one: the answer to it needs one."""
    try:
        identifier = json.loads(line).get("id")
    except (ValueError, AttributeError, RecursionError):
        return None
    return identifier if isinstance(identifier, str) else None
