"""Read one stack of DICOM images as a volume; pydicom decodes the pixels."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from magpie_core.errors import InputError, errors_about
from magpie_core.imaging.volume import Volume
from magpie_core.io.dicom_files import import_dicom
from magpie_core.io.dicom_images import DicomImage
from magpie_core.io.dicom_series import DicomSeries
from magpie_core.io.dicom_stacks import places

_UNEVEN = 0.05  # of the distance between slices
_ROUNDING_MM = 0.1  # positions are often exported with one decimal
_TURNED = 5e-3  # of cosines, which some exports round; 0.3 degrees
_TILTED = 0.02  # sideways for each mm along the stack
_MISSING = 1.5  # usual distances: a gap as wide as this lacks an image
_AGAIN = "Export the series again from the archive, all of its images"
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class _Grid:
    """The slices of a stack in their order, and how they lie in the patient (LPS mm)."""

    images: list[DicomImage]
    along_row: np.ndarray
    along_column: np.ndarray
    spacing_mm: tuple[float, float]  # of rows and of columns
    first: np.ndarray
    step: np.ndarray
    notes: tuple[str, ...]

    @property
    def normal(self) -> np.ndarray:
        return np.cross(self.along_row, self.along_column)

    @property
    def sideways(self) -> np.ndarray:
        """Part of the step that is not along the normal."""
        return np.asarray(self.step - (self.step @ self.normal) * self.normal)

    def affine(self, first: np.ndarray, step: np.ndarray) -> np.ndarray:
        """Return (4, 4): slice, row, column -> RAS mm."""
        rows_mm, columns_mm = self.spacing_mm
        affine = np.eye(4)
        affine[:3] = np.stack([step, self.along_column * rows_mm, self.along_row * columns_mm, first], axis=1)
        return np.asarray(_LPS_TO_RAS @ affine)


def read_series(series: DicomSeries) -> Volume:
    """Read the images of a stack as one volume; what was mended or assumed is in its warnings.

    Slices that lie at an angle to the stack (gantry tilt) are straightened by linear interpolation within each.

    Returns:
        Volume: float32 data with the scanner's rescaling applied; (I, J, K) = slices, rows, columns.

    Raises:
        InputError: If images are missing, repeated or damaged, or their places are not known.
        ResourceError: If pydicom is not installed.
    """
    with errors_about(series.label):
        grid = _grid_of(series)
        data = np.empty((len(grid.images), *grid.images[0].size), np.float32)
        for path, numbers in _by_file(grid.images).items():
            try:
                _decode(path, [grid.images[number] for number in numbers], data, numbers)
            except InputError:
                raise
            except Exception as error:  # whatever the parser and the decoders make of damaged bytes
                cause = " ".join(str(error).split())[:200] or type(error).__name__
                raise InputError(
                    "Cannot read the series as one volume", cause=f"{path.name}: {cause}", remedy=_AGAIN
                ) from error
        if grid.images[0].text("PhotometricInterpretation") == "MONOCHROME1":
            data = data.max() - data  # stored as a negative
        if not np.isfinite(data.sum(dtype=np.float64)):
            raise InputError("The series holds values that are not finite numbers", remedy=_AGAIN)
        first, step, notes = grid.first, grid.step, [*series.notes, *grid.notes]
        if np.linalg.norm(grid.sideways) > _TILTED * abs(grid.step @ grid.normal):
            angle = math.degrees(math.atan2(float(np.linalg.norm(grid.sideways)), abs(float(step @ grid.normal))))
            data, first = _straightened(data, grid)
            step = (step @ grid.normal) * grid.normal
            notes.append(f"the images are stacked at an angle of {angle:.1f}° (gantry tilt) and were straightened")
        warnings = tuple(f"{series.label}: {note}." for note in notes)
        return Volume(data, grid.affine(first, step), series.label, warnings)


def _grid_of(series: DicomSeries) -> _Grid:
    """Order the images of a stack and check their places, before a pixel is read."""
    images = list(series.images)
    _check_stated(images, series)
    orientations = np.array([image.orientation for image in images])
    mean = np.median(orientations, axis=0)
    if np.abs(orientations - mean).max() > _TURNED:
        raise InputError("The images of the series are not parallel", remedy="Choose another series of the modality")
    along_row = mean[:3] / max(float(np.linalg.norm(mean[:3])), 1e-9)
    along_column = mean[3:] - (mean[3:] @ along_row) * along_row
    if abs(np.linalg.norm(mean[:3]) - 1) > 0.02 or abs(np.linalg.norm(along_column) - 1) > 0.02:
        raise InputError("The orientation of the images is damaged", cause="rows and columns are not at right angles",
                         remedy=_AGAIN)  # fmt: skip
    along_column /= np.linalg.norm(along_column)
    groups = places(images)
    twice = next((group for group in groups if len(group) > 1), None)
    normal = np.cross(along_row, along_column)
    if twice:
        raise InputError(
            "Two images of the series lie at the same place",
            cause=f"at {np.array(twice[0].position) @ normal:.1f} mm along the stack, with different content",
            remedy="Export one acquisition alone, without repetitions",
        )
    ordered = [group[0] for group in groups]
    positions = np.array([image.position for image in ordered])
    if positions[-1] @ normal < positions[0] @ normal:
        ordered, positions = ordered[::-1], positions[::-1]
    first, step, notes = _line_through(positions, normal)
    spacing = np.median([image.spacing_mm for image in images], axis=0)
    return _Grid(ordered, along_row, along_column, (float(spacing[0]), float(spacing[1])), first, step, notes)


def _check_stated(images: list[DicomImage], series: DicomSeries) -> None:
    """Refuse stacks whose headers do not tell where their images lie."""
    if "MOSAIC" in series.image_type:
        raise InputError(
            "The images are tiles of whole volumes (mosaic), as of functional and diffusion series",
            remedy="Choose a structural series",
        )
    if any(not image.text("PhotometricInterpretation").startswith("MONOCHROME") for image in images[:1]):
        raise InputError("The series is in color", remedy="Give gray-value images")
    needed = {
        "position": lambda image: image.position,
        "orientation": lambda image: image.orientation,
        "pixel spacing": lambda image: image.spacing_mm,
    }
    missing = [name for name, value in needed.items() if any(not value(image) for image in images)]
    alike = len(images) > 1 and len({image.position for image in images}) == 1
    if len(images) < 2 or missing or alike:
        cause = "all of them state the same one" if alike else "it is a single image"
        raise InputError(
            "The series does not state the positions of its images",
            cause=f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing" if missing else cause,
            remedy=_AGAIN,
        )


def _line_through(positions: np.ndarray, normal: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return the first place and the step of evenly spaced slices, fitted where places are rounded, and notes.

    Raises:
        InputError: If images are missing or unevenly spaced, named by their place.
    """
    count = len(positions)
    depths = positions @ normal
    gaps = np.diff(depths)
    usual = float(np.median(gaps))
    numbers = np.arange(count)
    slope, start = np.polyfit(numbers, depths, 1)
    off = float(np.abs(depths - (slope * numbers + start)).max())
    rounded = bool((np.abs(positions * 10 - np.round(positions * 10)) < 1e-6).all())
    if np.abs(gaps - usual).max() > _UNEVEN * usual and not (rounded and off <= _ROUNDING_MM):
        _refuse_gaps(depths, gaps, usual)
    step = (positions[-1] - positions[0]) / (count - 1)
    if off > 1e-3 and rounded:
        centered = numbers - numbers.mean()
        step = centered @ positions / (centered @ centered)
        first = positions.mean(axis=0) - numbers.mean() * step
        # The direction of the stack is known better from the images than from places with one decimal.
        if np.linalg.norm(step - (step @ normal) * normal) * (count - 1) < 2 * _ROUNDING_MM:
            first, step = positions.mean(axis=0) - numbers.mean() * slope * normal, slope * normal
        note = f"places are rounded to 0.1 mm; slices were taken as evenly spaced, at most {off:.2f} mm off"
        return first, step, (note,)
    straight = positions[0] + np.outer(numbers, step)
    wandering = float(np.linalg.norm(positions - straight, axis=1).max())
    if wandering > max(2 * _ROUNDING_MM, _UNEVEN * usual):
        raise InputError(
            "The images of the series do not lie on one line",
            cause=f"they stray by up to {wandering:.1f} mm",
            remedy=_AGAIN,
        )
    return positions[0], step, ()


def _refuse_gaps(depths: np.ndarray, gaps: np.ndarray, usual: float) -> None:
    widest = int(gaps.argmax())
    wide = gaps[gaps > _MISSING * usual]
    place = (
        f"between {depths[widest]:.1f} and {depths[widest + 1]:.1f} mm along the stack there is a gap of "
        f"{gaps[widest]:.1f} mm, elsewhere {usual:.1f} mm"
    )
    if not len(wide):
        raise InputError("The images of the series are not evenly spaced", cause=place, remedy=_AGAIN)
    count = max(round(float(sum(wide / usual - 1))), 1)
    raise InputError(
        f"{count} image{'s are' if count > 1 else ' is'} missing in the series", cause=place, remedy=_AGAIN
    )


def _by_file(images: list[DicomImage]) -> dict[Path, list[int]]:
    files: dict[Path, list[int]] = defaultdict(list)
    for number, image in enumerate(images):
        files[image.path].append(number)
    return files


def _decode(path: Path, images: list[DicomImage], data: np.ndarray, numbers: list[int]) -> None:
    """Decode the images of a file into `data`, rescaled; unused high bits are cleared."""
    pydicom = import_dicom("pydicom")
    dataset = pydicom.dcmread(path, force=True)
    _complete(dataset, pydicom.uid)
    _check_syntax(dataset.file_meta.TransferSyntaxUID)
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        frames = pydicom.pixels.iter_pixels(dataset, indices=[image.index for image in images])
    else:
        frames = [dataset.pixel_array]
    for number, image, frame in zip(numbers, images, frames, strict=True):
        frame = frame[0] if frame.ndim == 3 and len(frame) == 1 else frame
        if frame.shape != data.shape[1:]:
            raise ValueError(f"its size is {' x '.join(map(str, frame.shape))}")
        if dataset.get("ModalityLUTSequence"):
            data[number] = pydicom.pixels.apply_modality_lut(frame, dataset)
            continue
        frame = _without_padding(frame, image.number("PixelPaddingValue"))
        slope, intercept = image.number("RescaleSlope"), image.number("RescaleIntercept")
        if slope == 0:
            raise ValueError("its rescale slope is 0")
        data[number] = frame * (1.0 if slope is None else slope) + (intercept or 0.0)


def _without_padding(frame: np.ndarray, padding: float | None) -> np.ndarray:
    """Set pixels outside of the image, if marked by a value that no other pixel comes near, to 0."""
    marked = frame == padding
    rest = frame[~marked]
    if not marked.any() or not rest.size or rest.min() <= padding <= rest.max():
        return frame
    return np.where(marked, 0, frame) if abs(float(padding or 0)) > rest.max() else frame


def _complete(dataset: Any, uid: Any) -> None:
    """Fill in how the values are coded, which files without a file header leave out."""
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        explicit = uid.ExplicitVRLittleEndian if little is not False else uid.ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian if implicit else explicit


def _check_syntax(syntax: Any) -> None:
    """Refuse a compression that no installed decoder reads, by its name."""
    try:
        known = not syntax.is_compressed or import_dicom("pydicom.pixels").get_decoder(syntax).is_available
    except (NotImplementedError, ValueError):
        known = False
    if not known:
        raise InputError(
            "The images are compressed in a way that cannot be read here",
            cause=f"their transfer syntax is {syntax.name}",
            remedy="Export the series uncompressed (Explicit VR Little Endian)",
        )


def _straightened(data: np.ndarray, grid: _Grid) -> tuple[np.ndarray, np.ndarray]:
    """Shift each slice within its plane until the stack is straight; return it, padded, and its first place (LPS)."""
    rows_mm, columns_mm = grid.spacing_mm
    shift = np.array([grid.sideways @ grid.along_column / rows_mm, grid.sideways @ grid.along_row / columns_mm])
    total = shift * (len(data) - 1)
    before = np.ceil(np.maximum(-total, 0)).astype(int)
    after = np.ceil(np.maximum(total, 0)).astype(int)
    padding = [(int(low), int(high)) for low, high in zip(before, after, strict=True)]
    lowest = min(float(data.min()), 0.0)
    straight = np.stack(
        [
            ndimage.shift(np.pad(frame, padding, constant_values=lowest), k * shift, order=1, cval=lowest)
            for k, frame in enumerate(data)
        ]
    )
    first = grid.first - before[0] * rows_mm * grid.along_column - before[1] * columns_mm * grid.along_row
    return straight.astype(np.float32), first
