"""Lock a folder for one process at a time."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from magpie_core.errors import ResourceError

_MARKER = ".lock-held"  # on file systems without locks; a process and its computer stand in it
_LONGEST_WAIT_S = 20.0  # for such a file: it may be of a computer that was switched off
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)


@contextmanager
def locked_folder(folder: Path, busy: str, *, timeout_s: float = 0) -> Iterator[None]:
    """Hold the lock of a folder, which is made if need be; the lock ends with the process, however that ends.

    On a file system without locks (some network drives), a file that names the process is the lock; one that a killed
    process left is taken over on the same computer.

    Args:
        busy: What it means that another process holds the lock, for the message: "Another batch writes to this folder".

    Raises:
        ResourceError: If another process holds the lock, or the folder cannot be written.
    """
    try:
        from filelock import FileLock, SoftFileLock, Timeout  # not in Slicer's own Python before it is installed
    except ImportError as error:
        raise ResourceError("The Python package 'filelock' is missing", remedy="Install MAGPIE's packages") from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            held = FileLock(folder / ".lock", timeout=timeout_s, fallback_to_soft=False).acquire()
        except (OSError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
                raise
            held = SoftFileLock(folder / _MARKER, timeout=min(timeout_s, _LONGEST_WAIT_S)).acquire()
    except Timeout as error:
        marker = folder / _MARKER
        raise ResourceError(
            busy,
            cause=f"it holds {marker.name}" if marker.exists() else "",
            remedy="Wait until it ends, stop it, or choose another folder"
            + (f"; if none is running on any computer, delete {marker}" if marker.exists() else ""),
            source=str(folder),
        ) from error
    except OSError as error:
        raise ResourceError(
            "Cannot lock the folder for writing",
            cause=error.strerror or str(error),
            remedy="Choose a folder that you may write to, on a disk of this computer",
            source=str(folder),
        ) from error
    with held:
        yield
