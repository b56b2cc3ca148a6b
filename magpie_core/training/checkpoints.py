"""Checkpoints: written atomically with their SHA-256, the last two kept, read without unpickling."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import torch

from magpie_core.errors import ModelError
from magpie_core.storage.atomic import staged

NAME = "checkpoint.pt"
PREVIOUS = "checkpoint.previous.pt"
_CHECKSUM = b"sha256:"  # and 64 hex digits, behind the end of the archive


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors and plain values) under its final name only once it is complete and readable.

    Raises:
        ResourceError: If the disk is full; earlier checkpoints stay.
    """
    payload = io.BytesIO()
    torch.save(state, payload)
    payload.write(_CHECKSUM + hashlib.sha256(payload.getbuffer()).hexdigest().encode())
    with staged(folder / NAME, payload.getvalue()) as place:
        if (folder / NAME).exists():
            os.replace(folder / NAME, folder / PREVIOUS)
        place()


def clear_scratch(folder: Path) -> None:
    """Remove files that a killed process left incomplete, and a damaged checkpoint if the previous one is intact.

    Else the next checkpoint saved would replace the intact one.
    """
    for path in folder.glob(f".{NAME}-*.part"):
        path.unlink(missing_ok=True)
    if _archive(folder / NAME) is None and _archive(folder / PREVIOUS) is not None:
        (folder / NAME).unlink(missing_ok=True)


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Load the newest readable checkpoint of a run; None if it has none (ModelError if all that it has are damaged)."""
    existing = [folder / name for name in (NAME, PREVIOUS) if (folder / name).is_file()]
    for path in existing:
        if (archive := _archive(path)) is not None:
            state: dict[str, Any] = torch.load(archive, map_location="cpu", weights_only=True)
            return state
    if existing:
        raise ModelError(
            "Cannot read any checkpoint of this training",
            cause="the files are damaged",
            remedy="Delete them to start again, or restore them from a backup",
            source=str(folder),
        )
    return None


def _archive(path: Path) -> io.BytesIO | None:
    """Return the archive of a checkpoint whose checksum fits, else None."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    end = max(len(content) - len(_CHECKSUM) - 64, 0)
    expected = _CHECKSUM + hashlib.sha256(memoryview(content)[:end]).hexdigest().encode()
    return io.BytesIO(content[:end]) if content[end:] == expected else None
