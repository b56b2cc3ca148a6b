"""The series of a folder of DICOM files, by their headers alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magpie_core.errors import InputError, ResourceError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_ENHANCED = "1.2.840.10008.5.1.4.1.1.4.1"
_DIRECTORY = "1.2.840.10008.1.3.10"
# fmt: off
_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "PatientID", "PatientName", "StudyInstanceUID", "StudyDate",
    "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "ProtocolName", "Modality", "ImageType",
    "AcquisitionTime", "SeriesTime", "ScanningSequence", "SequenceVariant", "SequenceName",
    "RepetitionTime", "EchoTime", "InversionTime", "ContrastBolusAgent", "MRAcquisitionType",
    "SliceThickness", "SpacingBetweenSlices", "ImageOrientationPatient", "ImagePositionPatient",
    "PixelSpacing", "Rows", "Columns", "NumberOfFrames", "DiffusionBValue", "SpecificCharacterSet",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "TemporalPositionIdentifier",
    "FrameOfReferenceUID", "AcquisitionContrast", "ContrastBolusAgentSequence",
]
# fmt: on


@dataclass(frozen=True, eq=False)
class DicomSeries:
    """Images of one stack, or one multi-frame file, and what their headers say.

    Attributes
    ----------
    files
        In no particular order.
    frames
        Number of images.
    description
        Series description, protocol and sequence name in one line.
    image_type
        Upper case, such as ("ORIGINAL", "PRIMARY").
    repetition_ms, echo_ms, inversion_ms, b_value
        None where the header does not say.
    contrast
        Whether a contrast agent is named.
    voxel_ml
        By spacing and slice distance; 0 where unknown.
    """

    files: tuple[Path, ...]
    frames: int
    study_uid: str
    uid: str
    number: int
    patient: str
    description: str
    modality: str
    image_type: tuple[str, ...] = ()
    repetition_ms: float | None = None
    echo_ms: float | None = None
    inversion_ms: float | None = None
    b_value: float | None = None
    contrast: bool = False
    is_3d: bool = False
    multi_frame: bool = False
    voxel_ml: float = 0.0
    repeated: bool = False
    warnings: tuple[str, ...] = field(default=())

    @property
    def label(self) -> str:
        """For the user: number, description, and number of images."""
        return f"series {self.number} ({self.description or 'without a description'}, {self.frames} images)"


def list_series(folder: Path) -> list[DicomSeries]:
    """The series of all DICOM files in a folder and below, by number; what is no DICOM image is passed over.

    A series of images in several orientations, echoes, b-values or kinds is taken apart.

    Raises
    ------
    ResourceError
        If pydicom is not installed.
    InputError
        If the folder cannot be read.
    """
    stacks: dict[tuple[Any, ...], list[tuple[Path, Dataset]]] = defaultdict(list)
    seen: set[str] = set()
    for path, header in _headers(folder):
        instance = str(header.get("SOPInstanceUID", path))
        if instance not in seen:
            seen.add(instance)
            stacks[_stack_of(path, header)].append((path, header))
    return sorted(
        (_series(stack) for stack in stacks.values()), key=lambda series: (series.number, series.uid)
    )


def holds_dicom(folder: Path) -> bool:
    """Whether a folder, or one below it, holds a DICOM file."""
    return any(_is_dicom(path) for path in _files(folder))


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_file():
        yield folder
        return
    try:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                yield path
    except OSError as error:
        raise InputError(
            "The folder cannot be read", cause=error.strerror or str(error), source=str(folder)
        ) from error


def _is_dicom(path: Path) -> bool:
    """By the file's mark; by its name for files from before 1993, and of careless programs, which lack it."""
    try:
        with path.open("rb") as stream:
            start = stream.read(132)
            return start[128:] == b"DICM" or (bool(start) and path.suffix.lower() in (".dcm", ".ima"))
    except OSError:
        return False


def _headers(folder: Path) -> Iterator[tuple[Path, Dataset]]:
    pydicom = import_dicom("pydicom")
    from pydicom.errors import InvalidDicomError

    for path in _files(folder):
        if not _is_dicom(path):
            continue
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS, force=True)
            if str(header.get("SOPClassUID", "")) in ("", _DIRECTORY) or "Rows" not in header:
                continue
        except (
            InvalidDicomError,
            OSError,
            EOFError,
            ValueError,
            KeyError,
            AttributeError,
            NotImplementedError,
        ):
            continue
        yield path, header


def import_dicom(name: str) -> Any:
    """pydicom or highdicom.

    Raises
    ------
    ResourceError
        If it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ResourceError(
            "DICOM cannot be read",
            cause=f"the package {name} is not installed",
            remedy='Install it: pip install "magpie-core[dicom]"',
        ) from error


def _stack_of(path: Path, header: Dataset) -> tuple[Any, ...]:
    """What images of one stack have in common."""
    key: tuple[Any, ...] = (str(header.get("StudyInstanceUID")), str(header.get("SeriesInstanceUID")))
    if header.get("SOPClassUID") == _ENHANCED:
        return (*key, str(path))
    orientation = tuple(round(float(value), 2) + 0.0 for value in header.get("ImageOrientationPatient") or ())
    kind = tuple(header.get("ImageType") or ())[2:4]
    size = (header.get("Rows"), header.get("Columns"))
    return (*key, orientation, size, _number(header, "EchoTime"), _number(header, "DiffusionBValue"), kind)


def _series(stack: list[tuple[Path, Dataset]]) -> DicomSeries:
    _, header = stack[0]
    multi_frame = header.get("SOPClassUID") == _ENHANCED
    words = [str(header.get(tag) or "") for tag in ("SeriesDescription", "ProtocolName", "SequenceName")]
    positions = [tuple(one.get("ImagePositionPatient") or ()) for _, one in stack]
    agent = str(header.get("ContrastBolusAgent") or "").strip().lower()
    return DicomSeries(
        files=tuple(path for path, _ in stack),
        frames=int(header.get("NumberOfFrames") or 1) if multi_frame else len(stack),
        study_uid=str(header.get("StudyInstanceUID", "")),
        uid=str(header.get("SeriesInstanceUID", "")),
        number=int(header.get("SeriesNumber") or 0),
        patient=str(header.get("PatientID") or header.get("PatientName") or ""),
        description=" ".join(dict.fromkeys(word.strip() for word in words if word.strip())),
        modality=str(header.get("Modality") or ""),
        image_type=tuple(str(value).upper() for value in header.get("ImageType") or ()),
        repetition_ms=_timing(header, "RepetitionTime", "MRTimingAndRelatedParametersSequence"),
        echo_ms=_timing(header, "EchoTime", "MREchoSequence", "EffectiveEchoTime"),
        inversion_ms=_timing(header, "InversionTime", "MRModifierSequence", "InversionTimes"),
        b_value=_number(header, "DiffusionBValue"),
        contrast=agent not in ("", "no", "none", "n") or bool(header.get("ContrastBolusAgentSequence")),
        is_3d=str(header.get("MRAcquisitionType") or "") == "3D",
        multi_frame=multi_frame,
        voxel_ml=_voxel_ml(header, positions),
        repeated=not multi_frame and len(set(positions)) < len(positions),
    )


def _number(header: Dataset, tag: str) -> float | None:
    value = header.get(tag)
    try:
        return None if value is None or value == "" else float(value)
    except (TypeError, ValueError):
        return None


def _timing(header: Dataset, tag: str, group: str, enhanced: str | None = None) -> float | None:
    """A time in ms, of a classic header or of the functional groups that all frames of an enhanced one share."""
    value = _number(header, tag)
    if value is not None:
        return value
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for item in list(header.get(groups) or [])[:1]:
            for inner in list(item.get(group) or [])[:1]:
                found = inner.get(enhanced or tag)
                if found is not None:
                    return float(found[0] if isinstance(found, (list, tuple)) else found)
    return None


def _voxel_ml(header: Dataset, positions: list[tuple[Any, ...]]) -> float:
    spacing = header.get("PixelSpacing")
    orientation = header.get("ImageOrientationPatient")
    if not spacing:
        return 0.0
    distance = _number(header, "SpacingBetweenSlices") or _number(header, "SliceThickness") or 1.0
    if orientation and len(positions) > 1 and all(len(place) == 3 for place in positions):
        import numpy as np

        normal = np.cross(np.array(orientation[:3], float), np.array(orientation[3:], float))
        depths = np.unique(np.round(np.array(positions, float) @ normal, 2))
        if len(depths) > 1:
            distance = float(np.median(np.diff(depths)))
    return float(spacing[0]) * float(spacing[1]) * distance / 1000
