"""A run folder: of one training, and of one process at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from magpie_core.errors import InputError, ResourceError
from magpie_core.storage.atomic import refuse_file, write_bytes

NAME = "run.json"


@contextmanager
def open_run(
    folder: Path, told: Mapping[str, Any], *, learned: Sequence[str], anew: bool = False
) -> Iterator[bool]:
    """Hold a run folder while a training runs in it.

    A training goes on only as what it was begun: else its record would be false, and a model might be judged by cases
    that it was taught.

    Parameters
    ----------
    told
        What must stay the same, by name; plain values.
    learned
        Patterns of what a training leaves in the folder.
    anew
        What to do if that is of another training: remove it, or refuse.

    Yields
    ------
    bool
        Whether another training was removed.

    Raises
    ------
    InputError
        If the folder is a file, or holds another training that is not to be removed.
    ResourceError
        If a training is running there, or the folder cannot be written.
    """
    refuse_file(folder)
    with locked(folder, "A training is running in this folder"):
        yield _claim(folder, json.loads(json.dumps(told)), learned, anew)


@contextmanager
def locked(folder: Path, problem: str) -> Iterator[None]:
    """Hold a folder for this process; the lock goes with the process, however that ends.

    Raises
    ------
    ResourceError
        If another process holds it (`problem` says what that means), or the folder cannot be written.
    """
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise ResourceError(
            problem,
            remedy="Wait for its end, stop it, or choose another folder; if there is none, delete the file .lock",
            source=str(folder),
        ) from None
    except (OSError, NotImplementedError) as error:  # the latter: a file system without locks
        raise ResourceError(
            "The folder cannot be held",
            cause=getattr(error, "strerror", None) or str(error),
            remedy="Choose a place where you may write, on a disk of this computer",
            source=str(folder),
        ) from error
    try:
        yield
    finally:
        lock.release()


def _claim(folder: Path, told: dict[str, Any], learned: Sequence[str], anew: bool) -> bool:
    path = folder / NAME
    left = [found for pattern in learned for found in folder.glob(pattern)]
    before = _read(path)
    other = bool(left) and before != told
    if other:
        if not anew and not before:
            raise InputError(
                "The training in this folder cannot be gone on with",
                cause="it does not say what it is of; versions before 0.5 wrote no run.json",
                remedy="Choose another folder, delete this one, or finish it with the version that began it",
                source=str(folder),
            )
        if not anew:
            differing = [name for name in {**told, **before} if before.get(name) != told.get(name)]
            raise InputError(
                "The run folder holds another training",
                cause=f"what differs: {', '.join(differing)}",
                remedy="Go on as it was begun, choose another folder, or delete this one",
                source=str(folder),
            )
        try:
            for found in left:
                if found.is_dir():
                    shutil.rmtree(found)
                else:
                    found.unlink()
        except OSError as error:
            raise ResourceError(
                "What an earlier training left cannot be removed",
                cause=error.strerror or str(error),
                remedy="Close what has it open, or choose another folder",
                source=str(error.filename or folder),
            ) from error
    write_bytes(path, (json.dumps(told, indent=2) + "\n").encode())
    return other


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
