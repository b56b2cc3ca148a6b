"""A run folder: of one training, and locked for one process at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from magpie_core.errors import Cancelled, InputError
from magpie_core.storage.atomic import refuse_file, remove_folder, remove_scratch, write_bytes, write_errors
from magpie_core.storage.folder_lock import locked_folder

NAME = "run.json"
VERSION_NAME = "version.json"
"""Which version of the site the run has become; then what it needed to be resumed is gone."""


@contextmanager
def open_run(
    folder: Path, settings: Mapping[str, Any], *, outputs: Sequence[str], restart: bool | None = None
) -> Iterator[list[str]]:
    """Lock a run folder while a training runs in it.

    A training is resumed only with the settings that it was started with: else its record would be false, and a model
    might be validated on cases that it was trained on.

    Args:
        settings: What must stay the same, by name; plain values, kept in `run.json`.
        outputs: Patterns of the files and folders that a training leaves in the folder.
        restart: Remove the outputs of a training with other settings; it is refused otherwise. None where the command
            has no such option.

    Yields:
        list: Names of the settings that were others in the training that was removed; empty if none was.

    Raises:
        InputError: If the folder is a file, or holds another training that is not to be removed.
        ResourceError: If a training is running there, or the folder cannot be written.
        Cancelled: Instead of KeyboardInterrupt; it says how to go on.
    """
    refuse_file(folder)
    with locked_folder(folder, "A training is running in this folder"):
        remove_scratch(folder)
        found = _outputs(folder, outputs)
        others = other_settings(folder, settings, outputs=outputs, restart=restart)
        for place in found if others else ():
            with write_errors(place, "Cannot remove the outputs of an earlier training"):
                if place.is_dir():
                    remove_folder(place)
                else:
                    place.unlink()
        write_bytes(folder / NAME, (json.dumps(settings, indent=2) + "\n").encode())
        try:
            yield others
        except KeyboardInterrupt:
            raise Cancelled(
                "Stopped",
                cause=f"what was done so far is kept in {folder}",
                remedy="The same command resumes it; to discard it, delete this folder",
            ) from None


def other_settings(
    folder: Path, settings: Mapping[str, Any], *, outputs: Sequence[str], restart: bool | None = None
) -> list[str]:
    """Return the names of the settings that are others in the training that a folder holds; empty if there is none.

    Raises:
        InputError: If there are any, and `restart` is not true; or it is not known how the training was started.
    """
    settings, before = json.loads(json.dumps(settings)), _read(folder / NAME)
    if not _outputs(folder, outputs) or before == settings:
        return []
    others = [name for name in {**settings, **before} if before.get(name) != settings.get(name)]
    if before and restart:
        return others
    raise InputError(
        "Cannot resume the training in this folder",
        cause=f"it was started with other settings: {', '.join(_told(name, before, settings) for name in others)}"
        if before
        else f"there is no {NAME} to say how it was started",
        remedy="Choose another folder, or delete this one"
        + (", or remove what was trained there with --restart" if before and restart is False else ""),
        source=str(folder),
    )


def finish_run(folder: Path, outputs: Sequence[str], version: str, model_hash: str) -> None:
    """Record which version a run has become, and remove all that it was made of, except for the logs."""
    with locked_folder(folder, "A training is running in this folder"), write_errors(folder, "Cannot clear the run"):
        write_bytes(folder / VERSION_NAME, (json.dumps({"version": version, "model": model_hash}) + "\n").encode())
        remove_scratch(folder)
        for path in [path for place in _outputs(folder, outputs) for path in place.iterdir()]:
            if path.is_dir():
                remove_folder(path)
            elif path.suffix != ".jsonl":
                path.unlink()


def finished_model(folder: Path) -> str:
    """Return the hash of the model that the run in a folder has become a version with; empty if it has not."""
    return str(_read(folder / VERSION_NAME).get("model", ""))


def clear_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a training that is complete."""
    for path in folder.glob("checkpoint*.pt"):
        path.unlink(missing_ok=True)


def _told(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    values = [value if name in side else "none" for side in (before, now) for value in (side.get(name),)]
    if any(isinstance(value, (dict, list)) or len(str(value)) > 20 for value in values):
        return name
    return f"{name} (then {values[0]}, now {values[1]})"


def _outputs(folder: Path, patterns: Sequence[str]) -> list[Path]:
    return [place for pattern in patterns for place in folder.glob(pattern)]


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
