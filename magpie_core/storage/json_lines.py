"""Append-only files of JSON objects, one a line, that survive a crash while a line is written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from magpie_core.storage.atomic import write_errors


def append_json_line(path: Path, values: Mapping[str, Any]) -> None:
    """Append one line and flush it to the disk; an incomplete last line, left by a crash, is removed first.

    One process at a time may append; hold the folder's lock (`storage.folder_lock`) around it.

    Raises:
        ResourceError: If it cannot be written; then the file holds the lines that it held before.
    """
    line = json.dumps(values).encode("ascii") + b"\n"
    with write_errors(path, f"Cannot write {path.name}"):
        is_new = not path.exists()
        end = 0 if is_new else _tail(path)[0]
        with path.open("xb" if is_new else "r+b", buffering=0) as stream:
            stream.truncate(end)
            stream.seek(end)
            try:
                if stream.write(line) != len(line):
                    raise OSError("the disk is full")
                os.fsync(stream.fileno())
            except OSError:
                stream.truncate(end)
                raise


def complete_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines that were written to their end; none if there is no file."""
    if not path.exists():
        return
    with path.open("rb") as stream:
        for line in stream:
            if line.endswith(b"\n"):
                yield line


def last_complete_line(path: Path) -> bytes | None:
    """Return the last line that was written to its end, without reading the whole file; None if there is none."""
    return (_tail(path)[1] or None) if path.exists() else None


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file, in order; skip what is no JSON object, such as a line torn by a crash."""
    for line in complete_lines(path):
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, dict):
            yield values


def _tail(path: Path) -> tuple[int, bytes]:
    """Return the length in bytes of the complete lines, and the last of them."""
    with path.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        block = 1 << 16
        while True:
            stream.seek(max(0, size - block))
            tail = stream.read()
            end = tail.rfind(b"\n") + 1
            start = tail.rfind(b"\n", 0, max(end - 1, 0)) + 1
            if start or len(tail) == size:
                return size - len(tail) + end, tail[start:end]
            block *= 4
