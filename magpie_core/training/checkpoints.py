"""Training state on disk: written atomically, the last two kept, read without unpickling."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from magpie_core.errors import ModelError
from magpie_core.study.atomic import staged

NAME = "checkpoint.pt"
PREVIOUS = "checkpoint.previous.pt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors and plain values) under its final name only once it is complete and readable.

    Raises
    ------
    ResourceError
        If there is no room; the checkpoints before stay.
    """
    payload = io.BytesIO()
    torch.save(state, payload)
    with staged(folder / NAME, payload.getvalue()) as place:
        if (folder / NAME).exists():
            os.replace(folder / NAME, folder / PREVIOUS)
        place()


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The newest readable checkpoint of a run, or None if the run has none.

    Raises
    ------
    ModelError
        If there are checkpoints but none can be read.
    """
    existing = [folder / name for name in (NAME, PREVIOUS) if (folder / name).is_file()]
    for path in existing:
        # Every member of the archive carries a checksum, which torch itself does not look at.
        if zipfile.is_zipfile(path) and zipfile.ZipFile(path).testzip() is None:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return state
    if existing:
        raise ModelError(
            "No checkpoint of this training can be read",
            cause="the files are damaged",
            remedy="Remove them to start again, or restore them from a backup",
            source=str(folder),
        )
    return None
