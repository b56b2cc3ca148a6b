"""List the series of a folder of DICOM files, by their headers alone."""

from __future__ import annotations

import filecmp
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from magpie_core.io.dicom_files import Unread, group_unread, import_dicom, is_dicom
from magpie_core.io.dicom_images import TAGS, DicomImage, images_of
from magpie_core.io.dicom_stacks import Stack, normal_of, places, plane_of, split_series
from magpie_core.io.folders import list_files
from magpie_core.series.acquisition import FEWEST_IMAGES
from magpie_core.series.facts import SeriesFacts

_ROUNDED = 0.1  # of the distance between slices: where places are rounded, their mean is nearer than their median


@dataclass(frozen=True, kw_only=True, eq=False)
class DicomSeries(SeriesFacts):
    """The images of one stack, and what their headers state.

    Attributes:
        images: In no particular order.
        uid: Of the series; its stacks share it.
        notes: What was decided about the stack, for the user.
    """

    images: tuple[DicomImage, ...] = ()
    uid: str = ""
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that hold the images."""
        return tuple(dict.fromkeys(image.path for image in self.images))

    @property
    def multi_frame(self) -> bool:
        """Whether the files are of a kind that may hold several images."""
        return any(image.multi_frame for image in self.images)


def list_series(folder: Path) -> tuple[list[DicomSeries], tuple[Unread, ...]]:
    """List the series of all DICOM images in a folder and below, sorted by number, and the files that none uses.

    A series with several orientations, echoes, components, Dixon parts or acquisitions is split into stacks. b_value
    is the highest of the series, as a diffusion series is one as a whole.

    Raises:
        ResourceError: If pydicom is not installed.
        InputError: If the folder cannot be read.
    """
    reasons: list[tuple[Path, str]] = []
    by_series: dict[tuple[str, str], list[DicomImage]] = defaultdict(list)
    seen: dict[str, Path] = {}
    for path, images in _read_headers(folder, reasons):
        first = seen.setdefault(images[0].text("SOPInstanceUID") or str(path), path)
        if first != path and _same_file(first, path):
            reasons.append((path, "an identical copy of another file, which is used"))
            continue
        key = images[0].text("StudyInstanceUID"), images[0].text("SeriesInstanceUID")
        by_series[key] += images
    found: list[DicomSeries] = []
    for images, noted in _joined(list(by_series.values())):
        highest = max((image.b_value for image in images if image.b_value is not None), default=None)
        shared = (*noted, *_shared_identifiers(images))
        for stack in split_series(images):
            found.append(replace(_series(stack, folder), b_value=highest, notes=(*stack.notes, *shared)))
            reasons += [
                (image.path, f"the same pixels at the same place as another image of {found[-1].label}")
                for image in stack.copies
                if not image.multi_frame
            ]
    found.sort(key=lambda one: (one.number, one.uid, one.stack))
    return _numbered(found), group_unread(folder, reasons)


def _joined(series: list[list[DicomImage]]) -> Iterator[tuple[list[DicomImage], tuple[str, ...]]]:
    """Yield the images of each series, and notes; single images of one number and description are one series."""
    alike: dict[tuple[str, ...], list[DicomImage]] = defaultdict(list)
    for images in series:
        if len(images) == 1 and not images[0].multi_frame:
            names = ("StudyInstanceUID", "SeriesNumber", "SeriesDescription", "ProtocolName", "FrameOfReferenceUID")
            alike[tuple(images[0].text(name) for name in names)].append(images[0])
        else:
            yield images, ()
    for images in alike.values():
        if len(images) < FEWEST_IMAGES:
            yield from (([image], ()) for image in images)
        else:
            yield images, ("each of its images has a series UID of its own; they were taken as one series",)


def _numbered(found: list[DicomSeries]) -> list[DicomSeries]:
    """Give numbers to the series that have none, so that they can be chosen."""
    without = list(dict.fromkeys(one.uid for one in found if one.number == 0))
    if len(without) < 2:
        return found
    highest = max(one.number for one in found)
    numbers = {uid: highest + place for place, uid in enumerate(without, 1)}
    return [replace(one, number=numbers[one.uid]) if one.number == 0 else one for one in found]


def _read_headers(folder: Path, reasons: list[tuple[Path, str]]) -> Iterator[tuple[Path, list[DicomImage]]]:
    """Yield the files that hold images, and these; add the others that are DICOM, or cannot be opened, to `reasons`."""
    pydicom = import_dicom("pydicom")
    for path in list_files(folder):
        try:
            if not is_dicom(path):
                continue
        except OSError as error:
            reasons.append((path, f"it cannot be opened: {error.strerror or error}"))
            continue
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS, force=True)
            images = images_of(path, header)
            kind = "" if images else _kind(header, pydicom.uid.UID)
        except Exception as error:  # whatever the parser makes of damaged bytes
            images, kind = [], f"its header is damaged: {_line(error)}"
        if images:
            yield path, images
        else:
            reasons.append((path, kind))


def _kind(header: Any, uid: Any) -> str:
    """Say what a DICOM file without an image holds."""
    try:
        sop_class = str(header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID") or "")
    except Exception:
        sop_class = ""
    if not sop_class:
        return "its header is damaged or incomplete: it states no image"
    name = uid(sop_class).name.removesuffix(" Storage")
    return f"no image that can be read, but {name if name != sop_class else f'an unknown kind ({sop_class})'}"


def _same_file(one: Path, other: Path) -> bool:
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def _shared_identifiers(images: list[DicomImage]) -> tuple[str, ...]:
    """Say that different images have one identifier, which is against the standard but no reason to lose any."""
    paths = {image.path: image.text("SOPInstanceUID") for image in images}
    shared = sum(count - 1 for uid, count in Counter(paths.values()).items() if uid)
    if not shared:
        return ()
    return (f"{shared + 1} files share their identifiers with others of other content; all of them are considered",)


def _series(stack: Stack, folder: Path) -> DicomSeries:
    image = stack.images[0]
    groups = places(stack.images)
    normal = normal_of(stack.images)
    positions = np.array([group[0].position for group in groups if group[0].position])
    distance = _distance_mm(image, positions, normal)
    spacing = (*image.spacing_mm, distance) if image.spacing_mm and distance else ()
    rows, columns = image.size
    center: tuple[float, ...] = ()
    if spacing and len(positions) and len(image.orientation) == 6:
        along_row, along_column = np.array(image.orientation[:3]), np.array(image.orientation[3:])
        half = along_row * spacing[1] * (columns - 1) / 2 + along_column * spacing[0] * (rows - 1) / 2
        center = tuple(float(value) for value in (positions[0] + positions[-1]) / 2 + half)
    words = [image.text(tag) for tag in ("SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName")]
    times = [moment for one in stack.images if (moment := one.time_s) is not None]
    return DicomSeries(
        images=stack.images,
        uid=image.text("SeriesInstanceUID"),
        number=int(image.number("SeriesNumber") or 0),
        stack=stack.text,
        names=tuple(dict.fromkeys(word for word in words if word)),
        patient=image.text("PatientID") or image.text("PatientName"),
        study_uid=image.text("StudyInstanceUID"),
        study_date=image.text("StudyDate"),
        time_s=min(times, default=None),
        modality=image.text("Modality"),
        sop_class=image.text("SOPClassUID"),
        image_type=image.image_type,
        component=image.component,
        scanning_sequence=image.texts("ScanningSequence"),
        repetition_ms=image.number("RepetitionTime"),
        echo_ms=image.echo_ms,
        inversion_ms=image.number("InversionTime"),
        flip_deg=image.number("FlipAngle"),
        b_value=image.b_value,
        agents=image.agents,
        body_part=image.text("BodyPartExamined"),
        plane=plane_of(normal),
        spacing_mm=spacing,
        extent_mm=(rows * spacing[0], columns * spacing[1], len(groups) * spacing[2]) if spacing else (),
        center_mm=center,
        frame_of_reference=image.text("FrameOfReferenceUID"),
        frames=len(stack.images),
        folder=_common_folder(stack.images, folder),
        repeated=stack.repeated,
    )


def _distance_mm(image: DicomImage, positions: np.ndarray, normal: np.ndarray | None) -> float:
    """Return the usual distance of slices, by their positions, else as the header has it; 0 where not known."""
    if normal is not None and len(positions) > 1:
        gaps = np.abs(np.diff(positions @ normal))
        usual = float(np.median(gaps))
        return float(gaps.mean()) if abs(gaps.mean() - usual) < _ROUNDED * usual else usual
    return image.number("SpacingBetweenSlices") or image.number("SliceThickness") or 0.0


def _common_folder(images: tuple[DicomImage, ...], folder: Path) -> str:
    parents = {str(image.path.parent) for image in images}
    place = os.path.relpath(os.path.commonpath(parents), folder if folder.is_dir() else folder.parent)
    return "" if place == "." else Path(place).as_posix()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
