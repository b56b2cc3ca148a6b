"""A run folder: of one training, and locked for one process at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from magpie_core.errors import InputError
from magpie_core.storage.atomic import refuse_file, write_bytes, write_errors
from magpie_core.storage.folder_lock import locked_folder

NAME = "run.json"


@contextmanager
def open_run(
    folder: Path, settings: Mapping[str, Any], *, outputs: Sequence[str], restart: bool = False
) -> Iterator[bool]:
    """Lock a run folder while a training runs in it.

    A training is resumed only with the settings that it was started with: else its record would be false, and a model
    might be validated on cases that it was trained on.

    Args:
        settings: What must stay the same, by name; plain values, kept in `run.json`.
        outputs: Patterns of the files and folders that a training leaves in the folder.
        restart: Remove the outputs of a training with other settings; it is refused otherwise.

    Yields:
        bool: Whether another training was removed.

    Raises:
        InputError: If the folder is a file, or holds another training that is not to be removed.
        ResourceError: If a training is running there, or the folder cannot be written.
    """
    refuse_file(folder)
    with locked_folder(folder, "A training is running in this folder"):
        yield _claim(folder, json.loads(json.dumps(settings)), outputs, restart)


def _claim(folder: Path, settings: dict[str, Any], outputs: Sequence[str], restart: bool) -> bool:
    path = folder / NAME
    found = [place for pattern in outputs for place in folder.glob(pattern)]
    before = _read(path)
    is_other = bool(found) and before != settings
    if is_other and not restart:
        differing = [name for name in {**settings, **before} if before.get(name) != settings.get(name)]
        raise InputError(
            "Cannot resume the training in this folder",
            cause=f"it was started with other settings: {', '.join(differing)}"
            if before
            else f"there is no {NAME} to say how it was started",
            remedy="Choose another folder, or delete this one",
            source=str(folder),
        )
    for place in found if is_other else ():
        with write_errors(place, "Cannot remove the outputs of an earlier training"):
            if place.is_dir():
                shutil.rmtree(place)
            else:
                place.unlink()
    write_bytes(path, (json.dumps(settings, indent=2) + "\n").encode())
    return is_other


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
