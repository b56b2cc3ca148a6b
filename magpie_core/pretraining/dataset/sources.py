"""Find the studies of folders and manifests of any size by file names alone; no image is opened."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from magpie_core.errors import InputError, errors_about, read_errors
from magpie_core.imaging.modality import Modality
from magpie_core.io.file_names import is_nifti, read_name
from magpie_core.storage.csv_table import read_table

_COLUMNS = {name.lower(): Modality(name) for name in Modality.__members__} | {"t1c": Modality.T1CE}
_SKIPPED_FOLDERS = {"derivatives", "sourcedata", "code", "labelsTr", "labelsTs"}


@dataclass(frozen=True)
class StudyFiles:
    """One visit of one subject.

    Attributes:
        subject, session: Subject and session (visit); the session may be empty.
        files: A file for each modality, absolute.
    """

    subject: str
    session: str
    files: dict[Modality, Path]

    @property
    def key(self) -> str:
        """Identity of the study: a hash of the files' paths, which need not be text, 32 hex digits."""
        paths = "\n".join(f"{modality} {path}" for modality, path in sorted(self.files.items()))
        return hashlib.sha256(paths.encode(errors="surrogatepass")).hexdigest()[:32]

    def status(self) -> dict[str, tuple[str, int, int]]:
        """Return path, size in bytes and time of last change in ns of each file, by modality; -1 where missing."""
        found = {}
        for modality, path in self.files.items():
            try:
                status = path.stat()
                found[modality.value] = (str(path), status.st_size, status.st_mtime_ns)
            except OSError:
                found[modality.value] = (str(path), -1, -1)
        return found


@dataclass
class FoundStudies:
    """The studies of some folders and manifests.

    Attributes:
        studies: In order of their subjects.
        unnamed: Files without a modality in their names: masks, and what must be listed in a manifest.
    """

    studies: list[StudyFiles] = field(default_factory=list)
    unnamed: list[Path] = field(default_factory=list)


def list_studies(sources: list[Path]) -> FoundStudies:
    """Find the studies of folders, NIfTI files and CSV manifests.

    In a folder, the subject is the part `sub-...` of a path, else the folder directly below the given one, else the
    subject in the file's name. A study is one folder and owner; a second file of one modality (a run) makes a
    study of its own, of the same subject.

    A manifest has a column `subject`, optionally `session`, and either a column for each modality (`t1`, `t1ce`, `t2`,
    `flair`) or `path` (a folder, or files separated by semicolons) with, optionally, `modality`. Paths start at the
    manifest. Lines of one subject and session belong together.

    Raises:
        InputError: If a source does not exist, a manifest cannot be used, or nothing is found at all.
    """
    found_studies = FoundStudies()
    for source in sources:
        source = Path(os.path.abspath(source))
        if source.is_dir():
            _scan(source, found_studies)
        elif source.suffix.lower() == ".csv" and source.is_file():
            with errors_about(source):
                _read_manifest(source, found_studies)
        elif source.is_file() and is_nifti(source):
            name = read_name(source)
            _group(found_studies, [(name.subject or source.parent.name, "", name.modality, source)])
        else:
            raise InputError(
                "There is no such folder or manifest",
                remedy="Give folders with NIfTI files, or a CSV file",
                source=str(source),
            )
    if not found_studies.studies:
        raise InputError(
            "No study was found",
            cause=f"{len(found_studies.unnamed)} NIfTI files, none with the name of a modality",
            remedy="Name the files in a CSV manifest with the columns subject, path and modality",
            source=", ".join(map(str, sources)),
        )
    unique = {study.key: study for study in found_studies.studies}
    found_studies.studies = sorted(unique.values(), key=lambda study: (study.subject, study.session, study.key))
    return found_studies


_Found = tuple[str, str, Modality | None, Path]


def _group(found_studies: FoundStudies, found: list[_Found]) -> None:
    """Group the files of one subject and session into studies, as many as one modality has files."""
    groups: dict[tuple[str, str], dict[Modality, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for subject, session, modality, path in found:
        if modality is None:
            found_studies.unnamed.append(path)
        elif path not in groups[subject, session][modality]:
            groups[subject, session][modality].append(path)
    for (subject, session), files in groups.items():
        for run in range(max(map(len, files.values()))):
            chosen = {modality: paths[run] for modality, paths in files.items() if run < len(paths)}
            found_studies.studies.append(StudyFiles(subject, session, chosen))


def nifti_folders(root: Path, *, skip: Collection[str] = ()) -> Iterator[list[Path]]:
    """Yield the NIfTI files of each folder from `root` downwards, following links, each folder once.

    Raises:
        InputError: If a folder cannot be read.
    """
    seen = set()
    for folder, folders, names in os.walk(root, onerror=_refuse_unreadable, followlinks=True):
        real_path = os.path.realpath(folder)
        if real_path in seen:
            folders.clear()
            continue
        seen.add(real_path)
        folders[:] = sorted(name for name in folders if name not in skip and not name.startswith("."))
        if files := [path for name in sorted(names) if is_nifti(path := Path(folder, name))]:
            yield files


def _scan(root: Path, found_studies: FoundStudies) -> None:
    for files in nifti_folders(root, skip=_SKIPPED_FOLDERS):
        _group(found_studies, list(_with_subjects(files, root)))


def _with_subjects(files: list[Path], root: Path) -> Iterator[_Found]:
    """Yield subject, session, modality and path of each file of one folder."""
    for path in files:
        name = read_name(path)
        parts = [part for part in path.parent.relative_to(root).parts if part != "anat"]
        bids, owner = name.subject.startswith("sub-"), name.subject
        named = next((part for part in parts if part.lower().startswith(("sub-", "sub_"))), "")
        subject = (owner.split("_")[0] if bids else named) or (parts[0] if parts else owner or root.name)
        visit = [part for part in parts if part != subject]
        visit_name = owner.partition("_")[2] if bids else owner
        if visit_name not in (subject, "", *parts):
            visit.append(visit_name)
        yield subject, "/".join(visit), name.modality, path


def _refuse_unreadable(error: OSError) -> None:
    with read_errors("", "Cannot read the folder"):
        raise error


def _read_manifest(manifest: Path, found_studies: FoundStudies) -> None:
    found: list[_Found] = []
    for number, values in enumerate(read_table(manifest), 2):
        found += _row(values, number, manifest, found_studies)
    _group(found_studies, found)


def _row(values: dict[str, str], number: int, manifest: Path, found_studies: FoundStudies) -> Iterator[_Found]:
    subject, session = values.get("subject", ""), values.get("session", "")
    named = {modality: values[column] for column, modality in _COLUMNS.items() if values.get(column)}
    paths = [part.strip() for part in values.get("path", "").split(";") if part.strip()]
    if not subject or bool(named) == bool(paths):
        raise InputError(
            f"Line {number} of the manifest names no subject"
            if not subject
            else f"Line {number} of the manifest names no image, or names them twice",
            remedy="Fill the column 'subject', and either 'path' or some of t1, t1ce, t2, flair",
        )
    for modality, place in named.items():
        yield subject, session, modality, Path(os.path.abspath(manifest.parent / place))
    for place in paths:
        path = Path(os.path.abspath(manifest.parent / place))
        if path.is_dir():
            below = FoundStudies()
            _scan(path, below)
            found_studies.unnamed += below.unnamed
            for study in below.studies:
                visit = "/".join(filter(None, (session, study.session)))
                for modality, file in study.files.items():
                    yield subject, visit, modality, file
        else:
            yield subject, session, _modality_of(values.get("modality", ""), path, number), path


def _modality_of(word: str, path: Path, number: int) -> Modality | None:
    if not word:
        return read_name(path).modality
    modality = _COLUMNS.get(word.lower()) or read_name(Path(f"{word}.nii")).modality
    if modality is None:
        raise InputError(
            f"Line {number} of the manifest: '{word}' is not the name of a modality",
            remedy="Use one of " + ", ".join(Modality.__members__),
        )
    return modality
