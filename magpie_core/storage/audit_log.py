"""An append-only log whose every line seals the ones before."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from magpie_core.errors import InputError, ResourceError

_START = "0" * 64


@dataclass(frozen=True)
class Entry:
    """One line of the log.

    Attributes
    ----------
    number
        1, 2, 3, ...
    time
        UTC, ISO 8601.
    who
        Who did it.
    event
        What was done, one word.
    details
        Plain values that belong to the event.
    """

    number: int
    time: str
    who: str
    event: str
    details: dict[str, Any]


class AuditLog:
    """JSON lines, each with the SHA-256 of the line before and its own.

    A line that was not written to its end, because the computer stopped, is no entry; the next `append` removes it.
    `append` must be called by one process at a time; the owner of the folder holds a lock around it.

    Parameters
    ----------
    path
        The file; made by the first entry.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, event: str, *, who: str, **details: Any) -> Entry:
        """Write one entry to the disk before returning.

        Raises
        ------
        ResourceError
            If it cannot be written; then there is no new entry.
        InputError
            If the last entry is not sealed as it should be.
        """
        try:
            whole = _whole_bytes(self.path)
            last = _last_line(self.path, whole)
            previous, number = _START, 1
            if last is not None:
                parsed = _parse(last, self.path)
                previous, number = parsed["hash"], parsed["number"] + 1
            content = {
                "number": number,
                "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "who": who,
                "event": event,
                "details": details,
                "previous": previous,
            }
            line = json.dumps({**content, "hash": _seal(content)}, sort_keys=True) + "\n"
            with self.path.open("r+b" if self.path.exists() else "x+b") as stream:
                stream.truncate(whole)
                stream.seek(whole)
                try:
                    stream.write(line.encode())
                    stream.flush()
                    os.fsync(stream.fileno())
                except OSError:
                    stream.truncate(whole)
                    raise
        except OSError as error:
            raise ResourceError(
                "The log cannot be written",
                cause=error.strerror or str(error),
                remedy="Check that the disk has room and that you may write there",
                source=str(self.path),
            ) from error
        return Entry(number, str(content["time"]), who, event, details)

    def entries(self) -> list[Entry]:
        """All entries, oldest first, after checking every seal.

        Raises
        ------
        InputError
            If an entry was changed, removed or inserted; the message names its line.
        """
        if not self.path.exists():
            return []
        previous = _START
        entries: list[Entry] = []
        with self.path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.endswith(b"\n"):
                    break
                values = _parse(line, self.path, number)
                if values["previous"] != previous or values["number"] != number:
                    raise _broken(self.path, number)
                previous = values["hash"]
                entries.append(
                    Entry(number, values["time"], values["who"], values["event"], values["details"])
                )
        return entries


def _seal(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _parse(line: bytes, path: Path, number: int | None = None) -> dict[str, Any]:
    try:
        values = json.loads(line)
        seal = values.pop("hash")
        if seal != _seal(values) or set(values) != {"number", "time", "who", "event", "details", "previous"}:
            raise _broken(path, number)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise _broken(path, number) from error
    return {**values, "hash": seal}


def _broken(path: Path, number: int | None) -> InputError:
    return InputError(
        "The log was changed by something other than MAGPIE",
        cause=f"line {number} does not fit" if number else "its last line does not fit",
        remedy="Restore its folder from a backup; what was logged after that line cannot be trusted",
        source=str(path),
    )


def _whole_bytes(path: Path) -> int:
    """Length up to the end of the last complete line."""
    if not path.exists():
        return 0
    with path.open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 4096)
            stream.seek(start)
            found = stream.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0


def _last_line(path: Path, whole: int) -> bytes | None:
    if whole == 0:
        return None
    tail = b""
    with path.open("rb") as stream:
        start = whole
        while start > 0:
            step = min(4096, start)
            start -= step
            stream.seek(start)
            tail = stream.read(step) + tail
            found = tail.rfind(b"\n", 0, len(tail) - 1)
            if found >= 0:
                return tail[found + 1 :]
    return tail
