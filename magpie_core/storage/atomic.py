"""Atomic writes: files and folders appear complete under their name, or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from magpie_core.errors import InputError, ResourceError


def write_bytes(path: Path, payload: bytes) -> None:
    """Write a file: to a temporary one beside it, flushed to the disk and read back, then moved into place.

    Raises:
        ResourceError: If it cannot be written; nothing is left under the name, and what was there before stays.
    """
    with staged(path, payload) as place:
        place()


@contextmanager
def staged(path: Path, payload: bytes) -> Iterator[Callable[[], None]]:
    """Write the temporary file, and yield the function that moves it into place.

    For several files that belong together: what is likely to fail is done before the first is moved.
    """
    path = Path(path)
    scratch = path.with_name(f".{path.name}-{uuid.uuid4().hex[:12]}.part")
    with write_errors(path):
        try:
            with scratch.open("xb") as stream:
                stream.write(payload)
                stream.flush()
                os.fsync(stream.fileno())
            if scratch.read_bytes() != payload:
                raise OSError("what was read back differs from what was written")
            yield partial(os.replace, scratch, path)
        finally:
            scratch.unlink(missing_ok=True)


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


def refuse_existing(folder: Path, names: Sequence[str]) -> None:
    """Raise InputError if an output folder holds a result, that is one of these files, or is itself a file."""
    refuse_file(folder)
    existing = [name for name in names if (folder / name).exists()]
    if existing:
        raise InputError(
            "The output folder holds a result already",
            cause=f"found {', '.join(existing)}",
            remedy="Choose another folder, or allow replacing it with --overwrite",
            source=str(folder),
        )


def refuse_file(folder: Path) -> None:
    """Raise InputError if what should be a folder for output is a file."""
    if folder.exists() and not folder.is_dir():
        raise InputError(
            "The output is a file, not a folder", remedy="Choose a folder for the result", source=str(folder)
        )


@contextmanager
def staged_folder(folder: Path, *, ours: Sequence[str], last: str) -> Iterator[Path]:
    """Yield a scratch folder; move what was written there into `folder` when the block ends without an error.

    A new folder appears complete under its name or not at all. In an existing folder, files of an earlier result that
    were not written anew are deleted (`ours`, patterns such as "maps/*.nii"), other files are left alone, and the file
    `last` is deleted first and moved last: where it lies, the result is complete.

    Raises:
        ResourceError: If it cannot be written: no permission, no space.
    """
    is_new = not folder.exists()
    scratch = (folder.parent if is_new else folder) / f".magpie-{uuid.uuid4().hex[:12]}"
    try:
        with write_errors(folder, "Cannot write the result; nothing was left behind"):
            scratch.mkdir(parents=True)
            yield scratch
            if is_new:
                scratch.rename(folder)
            else:
                _move_into(scratch, folder, ours, last)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder: it is gone from its name at once, and never there with a part of its files."""
    scratch = folder.with_name(f".magpie-{uuid.uuid4().hex[:12]}")
    os.replace(folder, scratch)
    shutil.rmtree(scratch, ignore_errors=True)


def remove_scratch(folder: Path) -> None:
    """Remove what killed processes left in a folder and in those in it; no other process may be at work there."""
    for left in (*folder.glob(".magpie-*"), *folder.glob("*/.magpie-*")):
        shutil.rmtree(left, ignore_errors=True)


def _move_into(scratch: Path, folder: Path, ours: Sequence[str], last: str) -> None:
    """Move finished files into place; on failure delete those that were moved."""
    names = [path.relative_to(scratch) for path in scratch.rglob("*") if path.is_file()]
    (folder / last).unlink(missing_ok=True)
    for path in [path for pattern in ours for path in folder.glob(pattern)]:
        if path.relative_to(folder) not in names:
            path.unlink(missing_ok=True)
    moved: list[Path] = []
    try:
        for name in sorted(names, key=lambda name: str(name) == last):
            (folder / name).parent.mkdir(exist_ok=True)
            os.replace(scratch / name, folder / name)
            moved.append(folder / name)
    except BaseException:
        for path in moved:
            path.unlink(missing_ok=True)
        raise
