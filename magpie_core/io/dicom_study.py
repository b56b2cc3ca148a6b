"""Read a study from DICOM files: a folder, a DICOMDIR or a zip file."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from magpie_core.errors import InputError, errors_about
from magpie_core.imaging.modality import GLIOMA_MODALITIES, Modality
from magpie_core.imaging.volume import Volume
from magpie_core.io.dicom_files import Unread, holds_dicom
from magpie_core.io.dicom_series import DicomSeries, list_series
from magpie_core.io.dicom_volume import read_series
from magpie_core.io.series_classification import classify_series, preference

_YOURSELF = "Unpack it yourself, and give the folder"
_LARGEST_BYTES = 20 << 30
_LARGEST_RATIO = 200  # of unpacked to packed: images shrink tenfold at most


def is_dicom_source(source: Path) -> bool:
    """Whether a path is a zip file, a DICOM file or DICOMDIR, or a folder that holds DICOM files."""
    if source.is_file():
        return zipfile.is_zipfile(source) or (not source.name.endswith((".nii", ".nii.gz")) and holds_dicom(source))
    return source.is_dir() and holds_dicom(source)


def read_dicom_volumes(
    source: Path, chosen: Mapping[Modality, int] | None = None
) -> tuple[dict[Modality, Volume], tuple[str, ...]]:
    """Read the modalities of one visit; return volumes and warnings.

    Args:
        source: Folder, zip file, DICOMDIR or single multi-frame file; zip files are unpacked to a private temporary
            folder.
        chosen: Numbers of the series to take for some modalities.

    Raises:
        InputError: If there is more than one visit, no known modality, or a series is faulty.
    """
    with _unpacked(source) as folder:
        with errors_about(source):
            selected, warnings = _select_series(*list_series(folder), chosen or {})
        volumes = {}
        for modality, series in selected.items():
            try:
                volumes[modality] = read_series(series)
            except InputError as error:
                if modality in GLIOMA_MODALITIES:
                    raise
                warnings.append(f"The {modality.label} was left out: {error}")
    return volumes, tuple(warnings)


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


def _select_series(
    found: list[DicomSeries], unread: Sequence[Unread], chosen: Mapping[Modality, int]
) -> tuple[dict[Modality, DicomSeries], list[str]]:
    """Choose a series for each modality, before any pixel is read; return them and warnings."""
    note = "; ".join(f"{row.label}: {row.reason}" for row in unread)
    if not found:
        remedy = "Choose the folder that the archive exported"
        raise InputError("There is no DICOM image here", cause=note, remedy=remedy)
    twice = sorted(number for number in set(chosen.values()) if list(chosen.values()).count(number) > 1)
    if twice:
        raise InputError(
            f"Series {twice[0]} was given for more than one modality", remedy="Give each modality a series of its own"
        )
    _refuse_several_visits(found)
    candidates: dict[Modality, list[DicomSeries]] = defaultdict(list)
    excluded: list[str] = []
    warnings = [f"{row.label}: {row.reason}." for row in unread]
    for series in found:
        modality, remark = classify_series(series)
        wanted = [modality for modality, number in chosen.items() if number == series.number]
        if wanted:
            candidates[wanted[0]].append(series)
        elif modality is None:
            excluded.append(f"{series.label}: {remark}")
        elif modality not in chosen:
            candidates[modality].append(series)
            warnings += [remark] if remark else []
    for modality, number in chosen.items():
        if modality not in candidates:
            numbers = ", ".join(str(series.number) for series in found)
            raise InputError(f"There is no series {number} to take as {modality.label}", cause=f"there are {numbers}")
    if not candidates:
        raise InputError(
            "None of the series is a modality that can be used",
            cause="; ".join(excluded[:8]),
            remedy="Choose the image of each modality yourself (command line: --series, such as --series T1CE=5)",
        )
    selected = {}
    for modality in Modality:
        if modality in candidates:
            first, *others = sorted(candidates[modality], key=preference)
            selected[modality] = first
            if others:
                rest = ", ".join(series.label for series in others)
                warnings.append(f"Several series could be the {modality.label}: {first.label} was taken, not {rest}.")
    return selected, warnings


def _refuse_several_visits(found: Sequence[DicomSeries]) -> None:
    visits = sorted({series.study_uid for series in found})
    if len(visits) > 1:
        patients = sorted({series.patient for series in found})
        dates = sorted({series.study_date for series in found if series.study_date})
        shown = f"of {len(patients)} patients" if len(patients) > 1 else "of one patient"
        shown += f", of {', '.join(dates[:6])}" if dates else ""
        raise InputError(
            f"The folder holds {len(visits)} studies instead of one",
            cause=f"DICOM studies {shown}",
            remedy="Choose the folder of one visit",
        )


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
