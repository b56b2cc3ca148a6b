"""Files that appear complete under their name, or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from magpie_core.errors import ResourceError


def write_bytes(path: Path, payload: bytes) -> None:
    """Write a file: to a temporary one beside it, flushed to the disk and read back, then moved into place.

    Raises
    ------
    ResourceError
        If it cannot be written; nothing is left under the name, and what was there before stays.
    """
    with staged(path, payload) as place:
        place()


@contextmanager
def staged(path: Path, payload: bytes) -> Iterator[Callable[[], None]]:
    """Write the temporary file, and give the function that moves it into place.

    For several files that belong together: all that is likely to fail is done before the first is moved.

    Raises
    ------
    ResourceError
        As `write_bytes`.
    """
    path = Path(path)
    scratch: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", suffix=".part", dir=path.parent)
        scratch = Path(name)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(payload)
            stream.flush()
            os.fsync(stream.fileno())
        if scratch.read_bytes() != payload:
            raise OSError("what was read back differs from what was written")
        scratch.chmod(0o666 & ~_umask())
        final = scratch
        yield lambda: os.replace(final, path)
    except OSError as error:
        raise ResourceError(
            "The file cannot be written",
            cause=error.strerror or str(error),
            remedy="Check that the folder exists, that you may write there, and that the disk has room",
            source=str(path),
        ) from error
    finally:
        if scratch is not None:
            scratch.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
