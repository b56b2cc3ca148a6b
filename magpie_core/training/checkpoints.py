"""Training state on disk: written atomically with its SHA-256, the last two kept, read without unpickling."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from magpie_core.errors import ModelError
from magpie_core.storage.atomic import staged

NAME = "checkpoint.pt"
PREVIOUS = "checkpoint.previous.pt"
_SEAL = b"sha256:"  # and 64 hex digits, after the archive's end, where its readers do not look


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors and plain values) under its final name only once it is complete and readable.

    Raises
    ------
    ResourceError
        If there is no room; the checkpoints before stay.
    """
    payload = io.BytesIO()
    torch.save(state, payload)
    payload.write(_SEAL + hashlib.sha256(payload.getbuffer()).hexdigest().encode())
    with staged(folder / NAME, payload.getvalue()) as place:
        if (folder / NAME).exists():
            os.replace(folder / NAME, folder / PREVIOUS)
        place()


def clear_scratch(folder: Path) -> None:
    """Remove what a killed process left half written, and a damaged checkpoint after which there is a good one.

    Else the next one saved would take the place of the good one.
    """
    for path in folder.glob(f".{NAME}-*.part"):
        path.unlink(missing_ok=True)
    if _archive(folder / NAME) is None and _archive(folder / PREVIOUS) is not None:
        (folder / NAME).unlink(missing_ok=True)


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The newest readable checkpoint of a run, or None if the run has none.

    Raises
    ------
    ModelError
        If there are checkpoints but none can be read.
    """
    existing = [folder / name for name in (NAME, PREVIOUS) if (folder / name).is_file()]
    for path in existing:
        archive = _archive(path)
        if archive is not None:
            state: dict[str, Any] = torch.load(archive, map_location="cpu", weights_only=True)
            return state
    if existing:
        raise ModelError(
            "No checkpoint of this training can be read",
            cause="the files are damaged",
            remedy="Remove them to start again, or restore them from a backup",
            source=str(folder),
        )
    return None


def _archive(path: Path) -> io.BytesIO | None:
    try:
        return _intact(path.read_bytes())
    except OSError:
        return None


def _intact(content: bytes) -> io.BytesIO | None:
    """The archive of a checkpoint, if it is whole."""
    end = len(content) - len(_SEAL) - 64
    if content[max(end, 0) :].startswith(_SEAL):
        whole = hashlib.sha256(memoryview(content)[:end]).hexdigest().encode() == content[-64:]
        return io.BytesIO(content[:end]) if whole else None
    # Checkpoints used to have no seal; but every member of the archive carries a checksum.
    archive = io.BytesIO(content)
    if zipfile.is_zipfile(archive) and zipfile.ZipFile(archive).testzip() is None:
        archive.seek(0)
        return archive
    return None
