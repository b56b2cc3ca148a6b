"""Lock a folder for one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from magpie_core.errors import ResourceError


@contextmanager
def locked_folder(folder: Path, busy: str, *, timeout_s: float = 0) -> Iterator[None]:
    """Hold the lock of a folder, which is made if need be; the lock ends with the process, however that ends.

    Args:
        busy: What it means that another process holds the lock, for the message: "Another batch writes to this folder".

    Raises:
        ResourceError: If another process holds the lock, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout  # not in Slicer's own Python, which only reads what is locked

    lock = FileLock(folder / ".lock", timeout=timeout_s)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = lock.acquire()
    except Timeout as error:
        raise ResourceError(
            busy,
            remedy="Wait until it ends, stop it, or choose another folder; if none is running, delete the file .lock",
            source=str(folder),
        ) from error
    except (OSError, NotImplementedError) as error:  # the latter: a file system without locks
        raise ResourceError(
            "Cannot lock the folder for writing",
            cause=getattr(error, "strerror", None) or str(error),
            remedy="Choose a folder that you may write to, on a disk of this computer",
            source=str(folder),
        ) from error
    with held:
        yield
