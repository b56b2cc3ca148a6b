"""Translate failed writes into errors with cause and remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from magpie_core.errors import ResourceError


@contextmanager
def write_errors(path: Path, problem: str = "Cannot write the file") -> Iterator[None]:
    """Raise ResourceError with `problem` and the path where the block fails with OSError."""
    try:
        yield
    except OSError as error:
        raise ResourceError(
            problem,
            cause=error.strerror or str(error),
            remedy="Check that the folder exists, that you may write there, and that the disk has free space",
            source=str(path),
        ) from error
