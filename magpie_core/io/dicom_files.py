"""Find the DICOM files of a folder, whatever their names."""

from __future__ import annotations

import importlib
import os
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from magpie_core.errors import ResourceError
from magpie_core.io.folders import list_files

_START_BYTES = 1024
_LONGEST_FIRST_VALUE = 512  # bytes; the first values of a file are lengths, character sets, image types, identifiers
_FIRST_GROUPS = (0x0002, 0x0008)
_LONG_VRS = (b"OB", b"OW", b"UN", b"SQ", b"UT")


@dataclass(frozen=True)
class Unread:
    """Files that no series uses.

    Attributes:
        label: The file, or the folder with the number of files, relative to the folder that was searched.
        reason: Why, a clause: "an identical copy of another file".
        files: Their paths.
    """

    label: str
    reason: str
    files: tuple[Path, ...]


def group_unread(folder: Path, reasons: Iterable[tuple[Path, str]]) -> tuple[Unread, ...]:
    """Return one row for all files of a folder that were not used for one reason."""
    groups: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path, reason in reasons:
        groups[path.parent, reason].append(path)
    rows = []
    for (parent, reason), paths in groups.items():
        place = os.path.relpath(parent, folder if folder.is_dir() else folder.parent)
        place = "" if place == "." else f"{Path(place).as_posix()}/"
        label = f"{place}{paths[0].name}" if len(paths) == 1 else f"{len(paths)} files in {place or 'the folder'}"
        rows.append(Unread(label, reason, tuple(paths)))
    return tuple(rows)


def holds_dicom(folder: Path) -> bool:
    """Whether a folder, or one below it, holds a DICOM file."""
    return next(list_dicom_files(folder), None) is not None


def list_dicom_files(folder: Path) -> Iterator[Path]:
    """Yield the DICOM files of a folder and those below it, or the file itself; InputError if it cannot be read."""
    for path in list_files(folder):
        try:
            if is_dicom(path):
                yield path
        except OSError:
            continue


def is_dicom(path: Path) -> bool:
    """Recognize DICOM by its mark, by its first elements, or by the file's name; OSError if it cannot be opened."""
    if not path.is_file() and path.exists():
        return False  # a device or a pipe would block
    with path.open("rb") as stream:
        start = stream.read(_START_BYTES)
    named = path.suffix.lower() in (".dcm", ".ima")
    return start[128:132] == b"DICM" or (bool(start) and named) or any(_begins(start, order) for order in "<>")


def _begins(start: bytes, order: str) -> bool:
    """Whether two elements of DICOM's first groups stand at the start, as in files without the mark."""
    if len(start) < 16:
        return False
    group, element = struct.unpack_from(f"{order}HH", start)
    code = start[4:6]
    if group not in _FIRST_GROUPS:
        return False
    if code.isalpha() and code.isupper():
        if code in _LONG_VRS:
            size, value = struct.unpack_from(f"{order}I", start, 8)[0], 12
        else:
            size, value = struct.unpack_from(f"{order}H", start, 6)[0], 8
    else:
        size, value = struct.unpack_from(f"{order}I", start, 4)[0], 8
    if size > _LONGEST_FIRST_VALUE or value + size + 4 > len(start):
        return False
    following = struct.unpack_from(f"{order}HH", start, value + size)
    return following[0] in (*_FIRST_GROUPS, 0x0010) and following > (group, element)


def import_dicom(name: str) -> Any:
    """Import pydicom or highdicom; ResourceError if it is not installed."""
    try:
        return importlib.import_module(name)
    except Exception as error:  # its decoders, other packages, may raise anything
        raise ResourceError(
            "Cannot read DICOM",
            cause=f"importing the package {name} fails: {error}",
            remedy="Install MAGPIE's Python packages (command line: pip install 'magpie-core[dicom]')",
        ) from error
