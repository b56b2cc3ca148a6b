"""One image of a DICOM file: what its header states, in classic files and for each frame of enhanced ones alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_SPECTROSCOPY = "1.2.840.10008.5.1.4.1.1.4.2"  # has rows and columns, but no image
COMPONENTS = {
    "magnitude": {"M", "MAG", "MAGNITUDE", "M_FFE", "M_SE", "M_IR", "M_PCA", "M_B0", "M_B1"},
    "phase": {"P", "PHASE", "PHASE MAP", "PHASE_MAP", "P_FFE", "P_SE", "P_IR"},
    "real": {"R", "REAL", "R_FFE", "R_SE", "R_IR"},
    "imaginary": {"I", "IMAGINARY", "I_FFE", "I_SE", "I_IR"},
}
_GE_COMPONENTS = {0: "magnitude", 1: "phase", 2: "real", 3: "imaginary"}
_GE_COMPONENT, _SIEMENS_B, _GE_B, _PHILIPS_B, _UIH_B = 0x0043102F, 0x0019100C, 0x00431039, 0x20011003, 0x00651009
# fmt: off
TAGS = [
    "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "PatientID", "PatientName", "StudyInstanceUID",
    "SeriesInstanceUID", "FrameOfReferenceUID", "SeriesNumber", "InstanceNumber", "AcquisitionNumber",
    "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate",
    "SeriesTime", "AcquisitionTime", "ContentTime", "AcquisitionDateTime",
    "SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName", "Modality", "ImageType",
    "BodyPartExamined",
    "ComplexImageComponent", "ScanningSequence", "RepetitionTime", "EchoTime", "EchoNumbers", "InversionTime",
    "FlipAngle", "DiffusionBValue", "TriggerTime", "TemporalPositionIdentifier",
    "ContrastBolusAgent", "ContrastBolusAgentSequence", "ContrastBolusIngredient",
    "SliceThickness", "SpacingBetweenSlices", "SliceLocation", "ImageOrientationPatient", "ImagePositionPatient",
    "PixelSpacing", "PhotometricInterpretation", "Rows", "Columns", "NumberOfFrames", "RescaleSlope",
    "RescaleIntercept", "PixelPaddingValue", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    _GE_COMPONENT, _SIEMENS_B, _GE_B, _PHILIPS_B, _UIH_B,
]
# fmt: on


@dataclass(frozen=True, eq=False)
class DicomImage:
    """One image, and what its header states; a value that cannot be read counts as not stated.

    Attributes:
        index: Of the frame in its file.
        header: Of the file.
        groups: Elements of the functional groups that apply to the frame, by keyword.
        position: LPS mm of the center of the first pixel; empty where not stated.
        multi_frame: Whether the file is of a kind that may hold several images.
    """

    path: Path
    index: int
    header: Dataset
    groups: Mapping[str, Any]
    position: tuple[float, ...] = ()
    multi_frame: bool = False

    def value(self, name: str | int) -> Any:
        """Return the value of an element by keyword or tag, the frame's first; None if it is absent or damaged."""
        try:
            found = self.groups.get(str(name))
            if found is None:
                found = self.header.get(name)
            return getattr(found, "value", found)
        except Exception:  # converted on access; writers put all kinds of values there
            return None

    def text(self, name: str) -> str:
        """Return a value as text; empty where it is not stated."""
        value = self.value(name)
        return "" if value is None else str(value).strip().strip("\0")

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the values of an element in upper case."""
        value = self.value(name)
        values = [value] if isinstance(value, str) else list(value or ())
        return tuple(str(one).strip().upper() for one in values)

    def numbers(self, name: str | int, count: int = 0) -> tuple[float, ...]:
        """Return finite numbers of an element, empty if it has not `count` of them (0: any)."""
        value = self.value(name)
        try:
            if isinstance(value, bytes):
                value = value.decode("ascii").strip("\0 ").split("\\")
            values = [value] if isinstance(value, (str, int, float)) else list(value or ())
            found = tuple(float(one) for one in values)
        except Exception:
            return ()
        return found if all(map(math.isfinite, found)) and count in (0, len(found)) else ()

    def number(self, name: str | int) -> float | None:
        """Return the first number of an element; None where it is not stated."""
        found = self.numbers(name)
        return found[0] if found else None

    @cached_property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.number("Rows") or 0), int(self.number("Columns") or 0)

    @cached_property
    def orientation(self) -> tuple[float, ...]:
        """Direction along a row and along a column (LPS), six cosines."""
        return self.numbers("ImageOrientationPatient", 6)

    @cached_property
    def spacing_mm(self) -> tuple[float, ...]:
        """Distance of rows and of columns; empty where it is not stated."""
        found = self.numbers("PixelSpacing", 2)
        return found if found and min(found) > 0 else ()

    @cached_property
    def image_type(self) -> tuple[str, ...]:
        """Of the frame, else of the file, in upper case."""
        return self.texts("FrameType") or self.texts("ImageType")

    @cached_property
    def component(self) -> str:
        """Return "magnitude", "phase", "real" or "imaginary"; empty where it is not stated."""
        said = (*self.texts("ComplexImageComponent"), *self.image_type[2:])
        for word in said:
            for component, words in COMPONENTS.items():
                if word in words:
                    return component
        code = self.number(_GE_COMPONENT)
        return "" if code is None else _GE_COMPONENTS.get(int(code), "")

    @cached_property
    def echo_ms(self) -> float | None:
        """Echo time."""
        found = self.number("EffectiveEchoTime")
        return self.number("EchoTime") if found is None else found

    @cached_property
    def b_value(self) -> float | None:
        """Diffusion weighting in s/mm², as the standard or a vendor's own element has it."""
        for tag in ("DiffusionBValue", _SIEMENS_B, _GE_B, _PHILIPS_B, _UIH_B):
            found = self.number(tag)
            if found is not None and found >= 0:
                return found % 1e9 if tag == _GE_B else found  # GE marks some values by adding 10^9
        return None

    @property
    def agents(self) -> tuple[str, ...]:
        """Every text about a contrast agent."""
        if self.text("ContrastBolusAgentAdministered").upper() == "NO":
            return ("NONE",)
        found = [self.text("ContrastBolusAgent")]
        for item in _items(self.value("ContrastBolusAgentSequence")):
            found += [_text(item, "CodeMeaning"), *_meanings(item, "ContrastBolusIngredientCodeSequence")]
        found += self.texts("ContrastBolusIngredient")
        return tuple(dict.fromkeys(text for text in found if text))

    @property
    def time_s(self) -> float | None:
        """Start of the acquisition, in seconds after midnight of the study's date."""
        study = self.text("StudyDate")
        for name in ("FrameAcquisitionDateTime", "AcquisitionDateTime"):
            moment = self.text(name)
            seconds = _seconds(moment[8:])
            if seconds is not None:
                return seconds + 86400 * _days(study, moment[:8])
        for kind in ("Acquisition", "Content", "Series"):
            seconds = _seconds(self.text(f"{kind}Time"))
            if seconds is not None:
                return seconds + 86400 * _days(study, self.text(f"{kind}Date"))
        return None


def images_of(path: Path, header: Dataset) -> list[DicomImage]:
    """Return the images that the header of a file describes; empty if it describes none."""
    whole = DicomImage(path, 0, header, {}, multi_frame=False)
    if min(whole.size) < 1 or whole.text("SOPClassUID") == _SPECTROSCOPY:
        return []
    shared = _flat(next(iter(_items(whole.value("SharedFunctionalGroupsSequence"))), None))
    frames = _items(whole.value("PerFrameFunctionalGroupsSequence"))
    count = int(whole.number("NumberOfFrames") or 1)
    if not frames:
        count = min(max(count, 1), 1 << 16)
        position = whole.numbers("ImagePositionPatient", 3) if count == 1 else ()
        return [DicomImage(path, k, header, shared, position, multi_frame=count > 1) for k in range(count)]
    found = []
    for index, frame in enumerate(frames[:count]):
        one = DicomImage(path, index, header, {**shared, **_flat(frame)}, multi_frame=True)
        position = one.numbers("ImagePositionPatient", 3)
        found.append(DicomImage(path, index, header, one.groups, position, multi_frame=True))
    return found


def _flat(groups: Any) -> dict[str, Any]:
    """Return the elements of all functional groups of a frame by keyword."""
    found: dict[str, Any] = {}
    for group in _elements(groups):
        for item in _items(group.value)[:1] if group.VR == "SQ" and not group.tag.is_private else ():
            found.update((element.keyword, element) for element in _elements(item) if element.keyword)
    inversion = found.get("InversionTimes")
    if inversion is not None:
        found["InversionTime"] = inversion
    return found


def _elements(item: Any) -> Iterator[Any]:
    """Yield the elements of a dataset that can be read."""
    for tag in list(item.keys()) if item is not None else ():
        try:
            yield item[tag]
        except Exception:
            continue


def _items(sequence: Any) -> list[Any]:
    """Return the items of a sequence; none of anything else, as a damaged header may hold."""
    return [item for item in sequence if hasattr(item, "keys")] if hasattr(sequence, "__iter__") else []


def _text(item: Any, name: str) -> str:
    try:
        return str(item.get(name) or "").strip()
    except Exception:
        return ""


def _meanings(item: Any, name: str) -> list[str]:
    try:
        return [_text(code, "CodeMeaning") for code in _items(item.get(name))]
    except Exception:
        return []


def _seconds(text: str) -> float | None:
    """Return the seconds after midnight of a time as DICOM writes it, HHMMSS.FFFFFF; None if it is none."""
    digits = text.replace(":", "")[:13].split("+")[0].split("-")[0]
    try:
        return int(digits[:2]) * 3600 + int(digits[2:4] or 0) * 60 + float(digits[4:] or 0)
    except ValueError:
        return None


def _days(first: str, second: str) -> int:
    """Return the days between two dates, YYYYMMDD; 0 where one is not known, or they are not of one visit."""
    try:
        one, other = (date(int(text[:4]), int(text[4:6]), int(text[6:8])) for text in (first, second))
    except ValueError:
        return 0
    days = (other - one).days
    return days if 0 <= days <= 2 else 0
