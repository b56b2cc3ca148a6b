"""A study from DICOM files: a folder, a DICOMDIR or a zip file."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from magpie_core.errors import InputError
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.volume import Volume
from magpie_core.io.dicom_kind import kind_of, preference
from magpie_core.io.dicom_series import DicomSeries, FoundSeries, holds_dicom, list_series
from magpie_core.io.dicom_volume import read_series

_NEEDED = (Modality.T1, Modality.T1CE, Modality.T2, Modality.FLAIR)
_LARGEST_BYTES = 20 << 30
_LARGEST_RATIO = 200  # of unpacked to packed: images shrink tenfold at most


@dataclass(frozen=True, eq=False)
class DicomStudy:
    """The series to use for each modality, before any pixel is read, and what a user must know of the choice."""

    chosen: Mapping[Modality, DicomSeries]
    warnings: tuple[str, ...] = ()


def is_dicom_source(source: Path) -> bool:
    """Whether a path is a zip file, a DICOM file or DICOMDIR, or a folder that holds DICOM files."""
    if source.is_file():
        return zipfile.is_zipfile(source) or (
            not source.name.endswith((".nii", ".nii.gz")) and holds_dicom(source)
        )
    return source.is_dir() and holds_dicom(source)


def read_dicom_volumes(
    source: Path, chosen: Mapping[Modality, int] | None = None
) -> tuple[dict[Modality, Volume], tuple[str, ...]]:
    """The modalities of one visit, and what a user must know about the choice.

    Parameters
    ----------
    source
        Folder, zip file, DICOMDIR or single multi-frame file; nothing is written but to a private temporary folder.
    chosen
        Numbers of the series to take for some modalities.

    Raises
    ------
    InputError
        If there is more than one visit, no known modality, or a series is faulty.
    """
    with opened(source) as folder:
        study = sort_series(list_series(folder), chosen or {}, source=str(source))
        volumes, warnings = {}, list(study.warnings)
        for modality, series in study.chosen.items():
            try:
                volumes[modality] = read_series(series)
            except InputError as error:
                if modality in _NEEDED:
                    raise
                warnings.append(f"The {modality.label} was left out: {error}")
    return volumes, tuple(warnings)


def read_one_series(source: Path, modality: Modality) -> Volume:
    """The one series of a folder that was given as a modality.

    Raises
    ------
    InputError
        If it holds no series or several, or the series is faulty.
    """
    with opened(source) as folder:
        found = list_series(folder).series
        if len(found) != 1:
            listed = ", ".join(series.label for series in found[:6]) or "no DICOM image"
            raise InputError(
                f"The {modality.label} is to be one DICOM series, but there are {len(found)}",
                cause=listed,
                remedy="Give a folder with that series alone",
                source=str(source),
            )
        return read_series(found[0])


def sort_series(listed: FoundSeries, chosen: Mapping[Modality, int], *, source: str = "") -> DicomStudy:
    """Choose a series for each modality.

    Raises
    ------
    InputError
        As `read_dicom_volumes`.
    """
    found = listed.series
    if not found:
        raise InputError(
            "There is no DICOM image here",
            cause=f"{listed.passed_over} files look like DICOM but cannot be understood"
            if listed.passed_over
            else "",
            remedy="Give the folder that the archive exported",
            source=source,
        )
    twice = sorted(number for number in set(chosen.values()) if list(chosen.values()).count(number) > 1)
    if twice:
        raise InputError(
            f"Series {twice[0]} was given for more than one modality",
            remedy="Give each modality a series of its own",
            source=source,
        )
    visits = sorted({series.study_uid for series in found})
    if len(visits) > 1:
        patients = sorted({series.patient for series in found})
        dates = sorted({series.study_date for series in found if series.study_date})
        shown = f"of {len(patients)} patients" if len(patients) > 1 else "of one patient"
        shown += f", of {', '.join(dates[:6])}" if dates else ""
        raise InputError(
            f"The folder holds {len(visits)} studies instead of one",
            cause=f"DICOM studies {shown}",
            remedy="Give the folder of one visit",
            source=source,
        )
    candidates: dict[Modality, list[DicomSeries]] = defaultdict(list)
    aside, warnings = [], []
    if listed.passed_over:
        warnings.append(
            f"{listed.passed_over} files look like DICOM but could not be understood, and were passed over."
        )
    for series in found:
        kind = kind_of(series)
        wanted = [modality for modality, number in chosen.items() if number == series.number]
        if wanted:
            candidates[wanted[0]].append(series)
        elif kind.modality is None:
            aside.append((series, kind))
        elif kind.modality not in chosen:
            candidates[kind.modality].append(series)
            if kind.doubt:
                warnings.append(kind.doubt)
    for modality, number in chosen.items():
        if not candidates.get(modality):
            raise InputError(
                f"There is no series {number} to take as {modality.label}",
                cause="there are " + ", ".join(str(series.number) for series in found),
                source=source,
            )
    if not candidates:
        reasons = "; ".join(f"{series.label}: {kind.reason}" for series, kind in aside[:8])
        raise InputError(
            "None of the series is a modality that can be used",
            cause=reasons,
            remedy="Choose the image of each modality yourself (magpie segment: --series, such as --series T1CE=5)",
            source=source,
        )
    ranked = {
        modality: sorted(candidates[modality], key=preference)
        for modality in Modality
        if modality in candidates
    }
    for modality, choices in ranked.items():
        if len(choices) > 1:
            rest = ", ".join(series.label for series in choices[1:])
            warnings.append(
                f"Several series could be the {modality.label}: {choices[0].label} was taken, not {rest}."
            )
    return DicomStudy({modality: choices[0] for modality, choices in ranked.items()}, tuple(warnings))


@contextmanager
def opened(source: Path) -> Iterator[Path]:
    """The folder to read; a zip file is unpacked to a private temporary folder, which is removed afterwards.

    Raises
    ------
    InputError
        If the zip file is damaged, encrypted or implausibly large.
    """
    if source.is_file() and zipfile.is_zipfile(source):
        with tempfile.TemporaryDirectory(prefix="magpie-dicom-") as folder:
            _unpack(source, Path(folder))
            yield Path(folder)
    elif source.is_file() and source.name.upper() == "DICOMDIR":
        yield source.parent
    else:
        yield source


def _unpack(source: Path, folder: Path) -> None:
    """Unpack files under numbers of our own: a name in an archive can point anywhere."""
    try:
        with zipfile.ZipFile(source) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            total = sum(member.file_size for member in members)
            if total > _LARGEST_BYTES or total > _LARGEST_RATIO * max(source.stat().st_size, 1):
                raise InputError(
                    "The zip file is implausibly large when unpacked",
                    cause=f"{total >> 20} MB from {source.stat().st_size >> 20} MB",
                    remedy="Unpack it yourself if you trust it, and give the folder",
                    source=str(source),
                )
            if any(member.filename.lower().endswith((".nii", ".nii.gz")) for member in members):
                raise InputError(
                    "The zip file holds NIfTI files, where DICOM files are expected",
                    remedy="Unpack it yourself, and give the folder",
                    source=str(source),
                )
            for number, member in enumerate(members):
                ending = Path(member.filename).suffix.lower()
                name = f"{number:06d}{ending if ending in ('.dcm', '.ima') else ''}"
                with archive.open(member) as packed, (folder / name).open("wb") as file:
                    shutil.copyfileobj(packed, file)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, OSError) as error:
        raise InputError(
            "The zip file cannot be unpacked",
            cause=str(error),
            remedy="Unpack it yourself, and give the folder",
            source=str(source),
        ) from error
