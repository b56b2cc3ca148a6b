"""The image files of a study's folder, and what became of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from magpie_core.errors import InputError, read_errors
from magpie_core.imaging.found_image import FoundImage
from magpie_core.imaging.modality import Modality
from magpie_core.io.dicom_files import holds_dicom
from magpie_core.io.file_names import is_image, read_name
from magpie_core.io.sidecar import read_names

_DEEPEST = 4
_DICOM, _BY_NAME = "DICOM files", "recognized by its name"
_ELSEWHERE = {"derivatives", "sourcedata", "func", "fmap", "dwi", "perf", "code", "labelsTr", "labelsTs"}


def list_image_files(source: Path) -> list[Path]:
    """Return the image files of a folder, or, where it has none of its own, of all folders below it."""
    if not source.exists():
        raise InputError("There is no such file or folder", remedy="Check its name and place", source=str(source))
    if source.is_file():
        return [source]
    files: list[Path] = []
    folders = [source]
    for _ in range(_DEEPEST):
        with read_errors(source, "Cannot read the folder"):
            entries = [entry for folder in folders for entry in sorted(folder.iterdir())]
        folders = [
            entry
            for entry in entries
            if entry.is_dir() and entry.name not in _ELSEWHERE and not entry.name.startswith(".")
        ]
        files += [entry for entry in entries if is_image(entry) and not entry.is_dir()]
        if files and files[0].parent == source:
            break
    return files


def shown_name(path: Path, source: Path) -> str:
    """Return a file's name for the user: its path in the folder."""
    return path.relative_to(source).as_posix() if path.is_relative_to(source) else path.name


def account_of_files(source: Path, used: Mapping[Modality, Path]) -> tuple[FoundImage, ...]:
    """Say of every image file of a folder what it was used as, or why not; and of DICOM files that none was."""
    names = read_names(list_image_files(source))
    rows = []
    for key, path in used.items():
        reason = names[path].reason if path in names else ""
        rows.append(FoundImage(shown_name(path, source), "used", key, reason or _BY_NAME))
    for path, read in names.items():
        if path not in used.values():
            reason = read.reason
            if read.modality is not None:
                other = "another file was taken" if read.modality in used else "so could others, and none is needed"
                reason = f"could be the {read.modality.label}, but {other}"
            rows.append(FoundImage(shown_name(path, source), "set aside", None, reason))
    if source.is_dir() and holds_dicom(source):
        rows.append(FoundImage(_DICOM, "set aside", None, "image files of several modalities lie beside them"))
    return tuple(rows)


def notes_of(found: Sequence[FoundImage]) -> tuple[str, ...]:
    """Tell what was concluded rather than read from a name, and that DICOM files were not used."""
    notes = []
    for row in found:
        if row.label == _DICOM:
            notes.append(f"{row.label} were not used: {row.reason}.")
        elif row.modality is not None and row.reason != _BY_NAME:
            notes.append(f"{row.label} was taken as {row.modality.label}: {row.reason}.")
    return tuple(notes)


def beside_dicom(source: Path) -> tuple[FoundImage, ...]:
    """Say that the NIfTI files beside DICOM files are not used."""
    if not source.is_dir():
        return ()
    return tuple(
        FoundImage(shown_name(path, source), "set aside", None, "DICOM files lie beside it")
        for path in list_image_files(source)
        if read_name(path).modality is not None
    )
