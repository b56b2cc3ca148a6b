"""The studies of folders and manifests of any size, found by names alone; no image is opened."""

from __future__ import annotations

import csv
import hashlib
import os
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from magpie_core.errors import InputError
from magpie_core.imaging.modality import Modality
from magpie_core.io.file_names import is_nifti, read_name

_COLUMNS = {name.lower(): Modality(name) for name in Modality.__members__} | {"t1c": Modality.T1CE}
_NOT_HERE = {"derivatives", "sourcedata", "code", "labelsTr", "labelsTs"}


@dataclass(frozen=True)
class StudyFiles:
    """One visit of one subject.

    Attributes
    ----------
    subject, session
        Who, and which visit; the session may be empty.
    files
        A file for each modality, absolute.
    """

    subject: str
    session: str
    files: dict[Modality, Path]

    @property
    def key(self) -> str:
        """Identity: a hash of the files' places, which need not be text, 32 hex digits."""
        places = "\n".join(f"{modality} {path}" for modality, path in sorted(self.files.items()))
        return hashlib.sha256(places.encode(errors="surrogatepass")).hexdigest()[:32]

    def status(self) -> dict[str, tuple[str, int, int]]:
        """Path, size in bytes and time of last change in ns of each file, by modality; -1 where it is missing."""
        found = {}
        for modality, path in self.files.items():
            try:
                status = path.stat()
                found[modality.value] = (str(path), status.st_size, status.st_mtime_ns)
            except OSError:
                found[modality.value] = (str(path), -1, -1)
        return found


@dataclass
class Listing:
    """What was found.

    Attributes
    ----------
    studies
        In order of their subjects.
    unnamed
        Files whose names tell no modality: masks, and what must be named in a manifest.
    """

    studies: list[StudyFiles] = field(default_factory=list)
    unnamed: list[Path] = field(default_factory=list)


def list_studies(sources: list[Path]) -> Listing:
    """The studies of folders, NIfTI files and CSV manifests.

    In a folder, the subject is the part `sub-...` of a path, else the folder directly below the given one, else what
    the file's name says of its owner. A study is one folder and owner; a second file of one modality (a run) makes a
    study of its own, of the same subject.

    A manifest has a column `subject`, optionally `session`, and either a column for each modality (`t1`, `t1ce`, `t2`,
    `flair`) or `path` (a folder, or files separated by semicolons) with, optionally, `modality`. Paths start at the
    manifest. Lines of one subject and session belong together.

    Raises
    ------
    InputError
        If a source does not exist, a manifest cannot be used, or nothing is found at all.
    """
    listing = Listing()
    for source in sources:
        source = Path(os.path.abspath(source))
        if source.is_dir():
            _scan(source, listing)
        elif source.suffix.lower() == ".csv" and source.is_file():
            _read_manifest(source, listing)
        elif source.is_file() and is_nifti(source):
            said = read_name(source)
            _group(listing, [(said.owner or source.parent.name, "", said.modality, source)])
        else:
            raise InputError(
                "There is no such folder or manifest",
                remedy="Give folders with NIfTI files, or a CSV file",
                source=str(source),
            )
    if not listing.studies:
        raise InputError(
            "No study was found",
            cause=f"{len(listing.unnamed)} NIfTI files, none with the name of a modality",
            remedy="Name the files in a CSV manifest with the columns subject, path and modality",
            source=", ".join(map(str, sources)),
        )
    unique = {study.key: study for study in listing.studies}
    listing.studies = sorted(unique.values(), key=lambda study: (study.subject, study.session, study.key))
    return listing


_Found = tuple[str, str, Modality | None, Path]


def _group(listing: Listing, found: list[_Found]) -> None:
    """Files that belong to one subject and session into studies, as many as one modality has files."""
    groups: dict[tuple[str, str], dict[Modality, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for subject, session, modality, path in found:
        if modality is None:
            listing.unnamed.append(path)
        elif path not in groups[subject, session][modality]:
            groups[subject, session][modality].append(path)
    for (subject, session), files in groups.items():
        for run in range(max(map(len, files.values()))):
            chosen = {modality: paths[run] for modality, paths in files.items() if run < len(paths)}
            listing.studies.append(StudyFiles(subject, session, chosen))


def nifti_folders(root: Path, *, leave_out: Collection[str] = ()) -> Iterator[list[Path]]:
    """The NIfTI files of each folder from `root` downwards, links followed and each folder taken once.

    Raises
    ------
    InputError
        If a folder cannot be read.
    """
    seen = set()
    for folder, folders, names in os.walk(root, onerror=_refuse_unreadable, followlinks=True):
        place = os.path.realpath(folder)
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        folders[:] = sorted(name for name in folders if name not in leave_out and not name.startswith("."))
        if files := [path for name in sorted(names) if is_nifti(path := Path(folder, name))]:
            yield files


def _scan(root: Path, listing: Listing) -> None:
    for files in nifti_folders(root, leave_out=_NOT_HERE):
        _group(listing, list(_owned(files, root)))


def _owned(files: list[Path], root: Path) -> Iterator[_Found]:
    """Whose each file of one folder is."""
    for path in files:
        said = read_name(path)
        parts = [part for part in path.parent.relative_to(root).parts if part != "anat"]
        bids, owner = said.owner.startswith("sub-"), said.owner
        named = next((part for part in parts if part.lower().startswith(("sub-", "sub_"))), "")
        subject = (owner.split("_")[0] if bids else named) or (parts[0] if parts else owner or root.name)
        visit = [part for part in parts if part != subject]
        told = owner.partition("_")[2] if bids else owner
        if told not in (subject, "", *parts):
            visit.append(told)
        yield subject, "/".join(visit), said.modality, path


def _refuse_unreadable(error: OSError) -> None:
    raise InputError(
        "The folder cannot be read",
        cause=error.strerror or str(error),
        remedy="Check that you may read it and that its disk is connected",
        source=str(error.filename),
    ) from error


def _read_manifest(manifest: Path, listing: Listing) -> None:
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError("The manifest cannot be read", cause=str(error), source=str(manifest)) from error
    found: list[_Found] = []
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise InputError(
                f"Line {number} of the manifest has more or fewer fields than its first line",
                remedy="Put names that hold a comma into quotation marks",
                source=str(manifest),
            )
        values = {str(key).strip().lower(): value.strip() for key, value in row.items()}
        found += _row(values, number, manifest, listing)
    _group(listing, found)


def _row(values: dict[str, str], number: int, manifest: Path, listing: Listing) -> Iterator[_Found]:
    subject, session = values.get("subject", ""), values.get("session", "")
    named = {modality: values[column] for column, modality in _COLUMNS.items() if values.get(column)}
    paths = [part.strip() for part in values.get("path", "").split(";") if part.strip()]
    if not subject or bool(named) == bool(paths):
        raise InputError(
            f"Line {number} of the manifest names no subject"
            if not subject
            else f"Line {number} of the manifest names no image, or names them twice",
            remedy="Fill the column 'subject', and either 'path' or some of t1, t1ce, t2, flair",
            source=str(manifest),
        )
    for modality, place in named.items():
        yield subject, session, modality, _absolute(manifest, place)
    for place in paths:
        path = _absolute(manifest, place)
        if path.is_dir():
            below = Listing()
            _scan(path, below)
            listing.unnamed += below.unnamed
            for study in below.studies:
                visit = "/".join(filter(None, (session, study.session)))
                for modality, file in study.files.items():
                    yield subject, visit, modality, file
        else:
            yield subject, session, _stated(values.get("modality", ""), path, number, manifest), path


def _stated(word: str, path: Path, number: int, manifest: Path) -> Modality | None:
    if not word:
        return read_name(path).modality
    modality = _COLUMNS.get(word.lower()) or read_name(Path(f"{word}.nii")).modality
    if modality is None:
        raise InputError(
            f"Line {number} of the manifest: '{word}' is not the name of a modality",
            remedy="Use one of " + ", ".join(Modality.__members__),
            source=str(manifest),
        )
    return modality


def _absolute(manifest: Path, place: str) -> Path:
    return Path(os.path.abspath(manifest.parent / place))
