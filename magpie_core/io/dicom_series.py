"""List the series of a folder of DICOM files, by their headers alone."""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from magpie_core.errors import ResourceError, read_errors

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_ENHANCED = "1.2.840.10008.5.1.4.1.1.4.1"
_DIRECTORY = "1.2.840.10008.1.3.10"
# fmt: off
_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "PatientID", "PatientName", "StudyInstanceUID", "StudyDate",
    "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "ProtocolName", "Modality", "ImageType", "SequenceName",
    "RepetitionTime", "EchoTime", "InversionTime", "ContrastBolusAgent", "ContrastBolusAgentSequence",
    "SliceThickness", "SpacingBetweenSlices", "ImageOrientationPatient", "ImagePositionPatient",
    "PixelSpacing", "Rows", "Columns", "NumberOfFrames", "DiffusionBValue", "SpecificCharacterSet",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]
# fmt: on
_SAME_DIRECTION = 0.05  # of cosines; a localizer's slices differ by 1


@dataclass(frozen=True, eq=False)
class DicomSeries:
    """The images of one stack, or one multi-frame file, and their headers.

    Attributes:
        files: In no particular order.
        names: Series description, protocol and sequence name, where given; a protocol may name the whole examination.
        study_date: YYYYMMDD; empty where the header does not state it.
        image_type: Upper case, such as ("ORIGINAL", "PRIMARY").
        repetition_ms, echo_ms, inversion_ms, b_value: None where the header does not state it.
        voxel_ml: Voxel volume by spacing and slice distance; 0 where unknown.
    """

    files: tuple[Path, ...]
    frames: int
    study_uid: str
    uid: str
    number: int
    patient: str
    names: tuple[str, ...]
    modality: str
    study_date: str = ""
    image_type: tuple[str, ...] = ()
    repetition_ms: float | None = None
    echo_ms: float | None = None
    inversion_ms: float | None = None
    b_value: float | None = None
    contrast: bool = False
    multi_frame: bool = False
    voxel_ml: float = 0.0
    repeated: bool = False

    @property
    def label(self) -> str:
        """Number, description, and number of images, for the user."""
        name = self.names[0].replace("/", " ") if self.names else "without a description"
        return f"series {self.number} ({name}, {self.frames} images)"


def list_series(folder: Path) -> tuple[list[DicomSeries], int]:
    """List the series of all DICOM images in a folder and below, sorted by number; and count unreadable headers.

    A series with several orientations, echoes, b-values or image types is split.

    Raises:
        ResourceError: If pydicom is not installed.
        InputError: If the folder cannot be read.
    """
    stacks: dict[tuple[Any, ...], list[tuple[Path, Dataset]]] = defaultdict(list)
    directions: dict[tuple[Any, ...], list[np.ndarray]] = defaultdict(list)
    seen: set[str] = set()
    unreadable = 0
    for path, header in _headers(folder):
        # Values are converted on access and may raise anything: writers put all kinds of values there.
        try:
            instance = str(header.get("SOPInstanceUID", path))
            if instance not in seen:
                stacks[_stack_of(path, header, directions)].append((path, header))
                seen.add(instance)
        except Exception:
            unreadable += 1
    found = []
    for stack in stacks.values():
        try:
            found.append(_series(stack))
        except Exception:
            unreadable += len(stack)
    return sorted(found, key=lambda series: (series.number, series.uid)), unreadable


def holds_dicom(folder: Path) -> bool:
    """Whether a folder, or one below it, holds a DICOM file."""
    return next(list_dicom_files(folder), None) is not None


def list_dicom_files(folder: Path) -> Iterator[Path]:
    """Yield the DICOM files of a folder and those below it, or the file itself."""
    with read_errors(folder, "Cannot read the folder"):
        for path in [folder] if folder.is_file() else sorted(folder.rglob("*")):
            if path.is_file() and (path == folder or not path.name.startswith(".")) and _is_dicom(path):
                yield path


def _is_dicom(path: Path) -> bool:
    """Recognize DICOM by the preamble, or by name for files without one (from before 1993)."""
    try:
        with path.open("rb") as stream:
            start = stream.read(132)
            return start[128:] == b"DICM" or (bool(start) and path.suffix.lower() in (".dcm", ".ima"))
    except OSError:
        return False


def _headers(folder: Path) -> Iterator[tuple[Path, Dataset]]:
    pydicom = import_dicom("pydicom")
    for path in list_dicom_files(folder):
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS, force=True)
            if str(header.get("SOPClassUID", "")) in ("", _DIRECTORY) or "Rows" not in header:
                continue
        except Exception:  # no DICOM image, whatever the parser makes of it
            continue
        yield path, header


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


def _stack_of(path: Path, header: Dataset, directions: dict[tuple[Any, ...], list[np.ndarray]]) -> tuple[Any, ...]:
    """Return the key of an image's stack; `directions` collects the orientations of each series."""
    key: tuple[Any, ...] = (str(header.get("StudyInstanceUID")), str(header.get("SeriesInstanceUID")))
    if header.get("SOPClassUID") == _ENHANCED:
        return (*key, str(path))
    known = directions[key]
    orientation = np.array([float(value) for value in header.get("ImageOrientationPatient") or ()])
    alike = [
        number
        for number, other in enumerate(known)
        if orientation.shape == other.shape and (np.abs(orientation - other) < _SAME_DIRECTION).all()
    ]
    if not alike:
        known.append(orientation)
    which = alike[0] if alike else len(known) - 1
    image_type = tuple(header.get("ImageType") or ())[2:4]
    size = (header.get("Rows"), header.get("Columns"))
    return (*key, which, size, _number(header, "EchoTime"), _number(header, "DiffusionBValue"), image_type)


def _series(stack: list[tuple[Path, Dataset]]) -> DicomSeries:
    _, header = stack[0]
    multi_frame = header.get("SOPClassUID") == _ENHANCED
    words = [str(header.get(tag) or "").strip() for tag in ("SeriesDescription", "ProtocolName", "SequenceName")]
    positions = [tuple(one.get("ImagePositionPatient") or ()) for _, one in stack]
    agent = str(header.get("ContrastBolusAgent") or "").strip().lower()
    return DicomSeries(
        files=tuple(path for path, _ in stack),
        frames=int(header.get("NumberOfFrames") or 1) if multi_frame else len(stack),
        study_uid=str(header.get("StudyInstanceUID", "")),
        uid=str(header.get("SeriesInstanceUID", "")),
        number=int(header.get("SeriesNumber") or 0),
        patient=str(header.get("PatientID") or header.get("PatientName") or ""),
        names=tuple(dict.fromkeys(word for word in words if word)),
        modality=str(header.get("Modality") or ""),
        study_date=str(header.get("StudyDate") or ""),
        image_type=tuple(str(value).upper() for value in header.get("ImageType") or ()),
        repetition_ms=_timing(header, "RepetitionTime", "MRTimingAndRelatedParametersSequence"),
        echo_ms=_timing(header, "EchoTime", "MREchoSequence", "EffectiveEchoTime"),
        inversion_ms=_timing(header, "InversionTime", "MRModifierSequence", "InversionTimes"),
        b_value=_timing(header, "DiffusionBValue", "MRDiffusionSequence"),
        contrast=agent not in ("", "no", "none", "n") or bool(header.get("ContrastBolusAgentSequence")),
        multi_frame=multi_frame,
        voxel_ml=_voxel_ml(header, positions),
        repeated=not multi_frame
        and all(len(place) == 3 for place in positions)
        and len(set(positions)) < len(positions),
    )


def _number(header: Dataset, tag: str) -> float | None:
    try:
        return float(header[tag].value)
    except (KeyError, TypeError, ValueError):
        return None


def _timing(header: Dataset, tag: str, group: str, enhanced: str | None = None) -> float | None:
    """Return a number of a classic header, or of the functional groups of an enhanced one."""
    value = _number(header, tag)
    if value is not None:
        return value
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for item in list(header.get(groups) or [])[:1]:
            for inner in list(item.get(group) or [])[:1]:
                found = inner.get(enhanced or tag)
                values = np.ravel([] if found is None else found)
                if len(values):
                    return float(values[0])
    return None


def _voxel_ml(header: Dataset, positions: list[tuple[Any, ...]]) -> float:
    spacing = header.get("PixelSpacing")
    orientation = header.get("ImageOrientationPatient")
    if not spacing:
        return 0.0
    distance = _number(header, "SpacingBetweenSlices") or _number(header, "SliceThickness") or 1.0
    if orientation and len(positions) > 1 and all(len(place) == 3 for place in positions):
        normal = np.cross(np.array(orientation[:3], float), np.array(orientation[3:], float))
        depths = np.unique(np.round(np.array(positions, float) @ normal, 2))
        if len(depths) > 1:
            distance = float(np.median(np.diff(depths)))
    return float(spacing[0]) * float(spacing[1]) * distance / 1000
