"""An append-only log in which every line holds the hash of the line before."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from magpie_core.errors import InputError
from magpie_core.storage.json_lines import append_json_line, complete_lines, last_complete_line

_START = "0" * 64


@dataclass(frozen=True)
class Entry:
    """One line of the log.

    Attributes:
        number: 1, 2, 3, ...
        time: UTC, ISO 8601.
        user: Who did it; "who" in the file, as every version has written it.
        event: What was done, one word.
    """

    number: int
    time: str
    user: str
    event: str
    details: dict[str, Any]


class AuditLog:
    """JSON lines, each with the SHA-256 of the line before and its own.

    A line that was not written to its end, because the computer stopped, is no entry; the next `append` removes it.
    One process at a time may append; the owner of the folder holds a lock around it.

    Args:
        path: The file; made by the first entry.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, event: str, *, user: str, **details: Any) -> Entry:
        """Write one entry to the disk before returning.

        Raises:
            ResourceError: If it cannot be written; then there is no new entry.
            InputError: If the last entry does not match its own hash.
        """
        last = last_complete_line(self.path)
        before: dict[str, Any] = _parse(last, self.path) if last else {"hash": _START, "number": 0}
        content = {
            "number": before["number"] + 1,
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "who": user,
            "event": event,
            "details": details,
            "previous": before["hash"],
        }
        append_json_line(self.path, {**content, "hash": _hash(content)})
        return _entry(content)

    def entries(self) -> list[Entry]:
        """Return all entries, oldest first (InputError, with the line, if one was changed, removed or inserted)."""
        previous = _START
        entries: list[Entry] = []
        for number, line in enumerate(complete_lines(self.path), start=1):
            values = _parse(line, self.path, number)
            if values["previous"] != previous or values["number"] != number:
                raise _broken(self.path, number)
            previous = values["hash"]
            entries.append(_entry(values))
        return entries


def _entry(values: dict[str, Any]) -> Entry:
    return Entry(values["number"], values["time"], values["who"], values["event"], values["details"])


def _hash(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _parse(line: bytes, path: Path, number: int | None = None) -> dict[str, Any]:
    try:
        values = json.loads(line)
        written = values.pop("hash")
        if written != _hash(values) or set(values) != {"number", "time", "who", "event", "details", "previous"}:
            raise _broken(path, number)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise _broken(path, number) from error
    return {**values, "hash": written}


def _broken(path: Path, number: int | None) -> InputError:
    return InputError(
        "The log was changed by something other than MAGPIE",
        cause=f"line {number} does not match its hash" if number else "its last line does not match its hash",
        remedy="Restore its folder from a backup; do not trust what was logged after that line",
        source=str(path),
    )
