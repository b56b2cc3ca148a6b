"""Read a study from DICOM files: a folder, a DICOMDIR or a zip file."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from magpie_core.errors import InputError, errors_about
from magpie_core.imaging.found_image import FoundImage
from magpie_core.imaging.modality import GLIOMA_MODALITIES, Modality
from magpie_core.imaging.study_checks import has_few_values
from magpie_core.imaging.volume import Volume
from magpie_core.io.dicom_files import holds_dicom
from magpie_core.io.dicom_series import DicomSeries, list_series
from magpie_core.io.dicom_volume import read_series
from magpie_core.series.choice import Choice, choose_series
from magpie_core.series.visits import one_visit, visits_of

_YOURSELF = "Unpack it yourself, and give the folder"
_LARGEST_BYTES = 20 << 30
_LARGEST_RATIO = 200  # of unpacked to packed: images shrink tenfold at most


def is_dicom_source(source: Path) -> bool:
    """Whether a path is a zip file, a DICOM file or DICOMDIR, or a folder that holds DICOM files."""
    if source.is_file():
        return zipfile.is_zipfile(source) or (not source.name.endswith((".nii", ".nii.gz")) and holds_dicom(source))
    return source.is_dir() and holds_dicom(source)


@dataclass(frozen=True)
class DicomVisit:
    """The volumes of one visit, notes for the reader of the result, and what became of every series and file."""

    volumes: dict[Modality, Volume]
    notes: tuple[str, ...]
    found: tuple[FoundImage, ...]


def read_dicom_visit(
    source: Path, chosen: Mapping[Modality, int | None] | None = None, *, visit: str | None = None, likely: bool = False
) -> DicomVisit:
    """Read the modalities of one visit.

    Args:
        source: Folder, zip file, DICOMDIR or single multi-frame file; zip files are unpacked to a private temporary
            folder.
        chosen: Numbers of the series to take for some modalities; None for one to leave out.
        visit: Date (YYYYMMDD), patient ID or study UID of the visit to read, where there are several.
        likely: Where only the user can tell which series is which, take the likelier instead of asking.

    Raises:
        InputError: If there is more than one visit, no known modality, an open question, or a series is faulty.
    """
    with _unpacked(source) as folder:
        with errors_about(source):
            listed, unread = list_series(folder)
            if not listed:
                cause = "; ".join(f"{row.label}: {row.reason}" for row in unread[:4])
                remedy = "Choose the folder that the archive exported"
                raise InputError("There is no DICOM image here", cause=cause, remedy=remedy)
            series, notes = one_visit(listed, visit)
            choice = choose_series(series, chosen)
            _refuse_nothing(choice)
            if choice.open and not likely:
                raise InputError(
                    "It is open which series is which",
                    cause=" ".join(choice.open),
                    remedy="Or let the likelier be taken, and marked (command line: --likely)",
                )
        volumes, read_notes, rows = _read_candidates(choice)
    rows += [FoundImage(facts.label, "set aside", None, reason) for facts, reason in choice.aside]
    rows += [FoundImage(facts.label, "set aside", None, "of another visit") for facts in listed if facts not in series]
    rows += [FoundImage(row.label, _use_of(row.reason), None, row.reason) for row in unread]
    lost = sum(len(row.files) for row in unread if _use_of(row.reason) == "not readable")
    notes += (f"{lost} files could not be read, and were left out.",) if lost else ()
    if Modality.T1CE not in volumes and choice.unknown:
        listed_names = ", ".join(facts.label for facts in choice.unknown[:4])
        notes += (
            f"Nothing says what these series are: {listed_names}. If one is the T1ce, say so (command line: --series "
            f"T1CE={choice.unknown[-1].number} or another number).",
        )
    return DicomVisit(volumes, (*notes, *choice.open, *read_notes), tuple(rows))


def _read_candidates(choice: Choice) -> tuple[dict[Modality, Volume], list[str], list[FoundImage]]:
    """Read the best candidate of each modality that can be read as a gray-value image."""
    volumes: dict[Modality, Volume] = {}
    notes: list[str] = []
    rows: list[FoundImage] = []
    for modality, candidates in choice.candidates.items():
        failures: list[InputError] = []
        for place, one in enumerate(candidates):
            label = one.facts.label
            if modality in volumes:
                better = "; ".join(one.demoted) or "another one is better suited"
                rows.append(FoundImage(label, "set aside", None, f"could be the {modality.label}, but {better}"))
                continue
            try:
                if one.flaw:
                    remedy = "Export the series again from the archive, all of its images"
                    raise InputError(
                        "The series makes no volume", cause=f"it holds {one.flaw}", remedy=remedy, source=label
                    )
                volume = read_series(cast(DicomSeries, one.facts))
            except InputError as error:
                failures.append(error)
                rows.append(FoundImage(label, "not readable", None, str(error)))
                continue
            if place + 1 < len(candidates) and has_few_values(volume.data):
                rows.append(FoundImage(label, "set aside", None, "a mask: it has only a few different values"))
                continue
            volumes[modality] = volume
            rows.append(FoundImage(label, "used", modality, one.reason))
            notes += one.doubts
            notes += [f"The {modality.label} is not the first choice: {error}" for error in failures]
            rest = ", ".join(other.facts.label for other in candidates[place + 1 :])
            if rest:
                notes.append(f"Several series could be the {modality.label}: {label} was taken, not {rest}.")
        if modality not in volumes and failures:
            incomplete = modality is not Modality.T1CE and any(one.flaw for one in candidates[:1])
            if modality in GLIOMA_MODALITIES and not incomplete:
                failures[0].remedy += f"; or leave it out (command line: --series {modality.value}=none)"
                raise failures[0]
            notes.append(f"The {modality.label} was left out: {failures[0]}")
    return volumes, notes, rows


def _refuse_nothing(choice: Choice) -> None:
    if not choice.candidates:
        raise InputError(
            "None of the series is a modality that can be used",
            cause="; ".join(f"{facts.label}: {reason}" for facts, reason in choice.aside[:8]),
            remedy="Choose the image of each modality yourself (command line: --series, such as --series T1CE=5)",
        )


def _use_of(reason: str) -> Literal["set aside", "not readable"]:
    return "not readable" if "damaged" in reason or "cannot be opened" in reason else "set aside"


def list_dicom_visit(source: Path) -> tuple[FoundImage, ...]:
    """Say what every series of a source would be taken for, by the headers alone, also where it cannot be read."""
    with _unpacked(source) as folder:
        listed, unread = list_series(folder)
    rows: list[FoundImage] = []
    for visit in visits_of(listed).values():
        choice = choose_series(visit)
        rows += [
            FoundImage(one.facts.label, "candidate", modality, one.reason)
            for modality, candidates in choice.candidates.items()
            for one in candidates
        ]
        rows += [FoundImage(facts.label, "set aside", None, reason) for facts, reason in choice.aside]
    return (*rows, *(FoundImage(row.label, _use_of(row.reason), None, row.reason) for row in unread))


def read_one_series(source: Path, modality: Modality) -> Volume:
    """Read the only series of a folder given as a modality (InputError if there is not one, or it is faulty)."""
    with _unpacked(source) as folder:
        found, _ = list_series(folder)
        if len(found) != 1:
            raise InputError(
                f"The {modality.label} must be one DICOM series, but there are {len(found)}",
                cause=", ".join(series.label for series in found[:6]) or "no DICOM image",
                remedy="Give a folder with that series alone",
                source=str(source),
            )
        return read_series(found[0])


@contextmanager
def _unpacked(source: Path) -> Iterator[Path]:
    """Yield the folder to read; a zip file is unpacked to a private temporary folder, which is deleted afterwards."""
    if source.is_file() and zipfile.is_zipfile(source):
        with tempfile.TemporaryDirectory(prefix="magpie-dicom-") as folder:
            with errors_about(source):
                _unpack(source, Path(folder))
            yield Path(folder)
    else:
        yield source.parent if source.is_file() and source.name.upper() == "DICOMDIR" else source


def _unpack(source: Path, folder: Path) -> None:
    """Unpack files under new names, numbers: a name in an archive may point outside the folder."""
    try:
        with zipfile.ZipFile(source) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            total = sum(member.file_size for member in members)
            if total > _LARGEST_BYTES or total > _LARGEST_RATIO * max(source.stat().st_size, 1):
                raise InputError(
                    "The zip file is implausibly large when unpacked",
                    cause=f"{total >> 20} MB from {source.stat().st_size >> 20} MB",
                    remedy="Unpack it yourself if you trust it, and give the folder",
                )
            if any(member.filename.lower().endswith((".nii", ".nii.gz")) for member in members):
                raise InputError("The zip file holds NIfTI files, where DICOM files are expected", remedy=_YOURSELF)
            for number, member in enumerate(members):
                ending = Path(member.filename).suffix.lower()
                name = f"{number:06d}{ending if ending in ('.dcm', '.ima') else ''}"
                with archive.open(member) as packed, (folder / name).open("wb") as file:
                    shutil.copyfileobj(packed, file)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, OSError) as error:
        raise InputError("Cannot unpack the zip file", cause=str(error), remedy=_YOURSELF) from error
