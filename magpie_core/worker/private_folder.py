"""The private temporary folder of a panel: held by a lock, so that one whose panel died is known and removed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
import weakref
from pathlib import Path

from magpie_core.worker.protocol import PRIVATE_FOLDER_PREFIX

_LOCK_NAME = "in-use"
_NEW_S = 60.0  # a lock that was just made may not be taken yet


class PrivateFolder:
    """A folder that exists as long as this object, and does not outlive a killed process for long.

    Args:
        parent: Where it is made; the system's folder for temporary files by default. Folders there that were left
            behind by a process that was killed are removed.
    """

    def __init__(self, parent: str | Path | None = None) -> None:
        remove_abandoned(Path(parent or tempfile.gettempdir()))
        self.path = Path(tempfile.mkdtemp(prefix=PRIVATE_FOLDER_PREFIX, dir=parent))
        lock = os.open(self.path / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        _take(lock)
        self._remove = weakref.finalize(self, _remove, str(self.path), lock)

    @property
    def exists(self) -> bool:
        """Whether `remove` was not called yet."""
        return self._remove.alive

    def remove(self) -> None:
        """Remove the folder."""
        self._remove()


def remove_abandoned(parent: Path) -> None:
    """Remove the private folders whose process has died without removing them."""
    for lock in parent.glob(f"{PRIVATE_FOLDER_PREFIX}*/{_LOCK_NAME}"):
        with contextlib.suppress(OSError):  # another user's, or gone
            if time.time() - lock.stat().st_mtime < _NEW_S:
                continue
            descriptor = os.open(lock, os.O_RDWR)
            if _take(descriptor):
                _remove(str(lock.parent), descriptor)
            else:
                os.close(descriptor)


def _take(descriptor: int) -> bool:
    """Lock a file until its descriptor is closed, by the death of the process at the latest; false if it is locked."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove(folder: str, lock: int) -> None:
    os.close(lock)  # first: Windows removes no file that is open
    shutil.rmtree(folder, ignore_errors=True)
