"""DICOM series of phantoms, as a scanner would write them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from magpie_core.imaging.reorientation import Reorientation
from magpie_core.imaging.volume import Volume

CLASSIC, ENHANCED = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
TIMES = {
    "T1": {"RepetitionTime": 600, "EchoTime": 10},
    "T1CE": {"RepetitionTime": 600, "EchoTime": 10, "ContrastBolusAgent": "Gadovist"},
    "T2": {"RepetitionTime": 5000, "EchoTime": 100},
    "FLAIR": {"RepetitionTime": 9000, "EchoTime": 120, "InversionTime": 2500},
}


def assert_same_image(found: Volume, expected: Volume, tolerance_mm: float = 1e-3) -> None:
    """Both have the same values at the same places of the world, in whatever order they are stored."""
    one, other = Reorientation.of(found.geometry), Reorientation.of(expected.geometry)
    assert np.abs(one.geometry.corners_mm() - other.geometry.corners_mm()).max() < tolerance_mm
    assert np.allclose(one.apply(found.data), other.apply(expected.data), atol=1e-3)


def write_series(
    volume: Volume,
    folder: Path,
    *,
    description: str = "",
    number: int = 1,
    study_uid: str = "1.2.3",
    patient: str = "Doe^Jane",
    slope: float = 1.0,
    enhanced: bool = False,
    b_value: float | None = None,
    skip: tuple[int, ...] = (),
    shift_mm: float = 0.0,
    shuffle: bool = False,
    each: Callable[[int, Dataset], None] | None = None,
    **tags: object,
) -> list[Path]:
    """Write a volume; its last axis is the stack, its first runs along a row.

    `skip` leaves images out, `shift_mm` moves each image sideways against the one before (gantry tilt), `each` may
    change an image, given its place in the stack.
    """
    folder.mkdir(parents=True, exist_ok=True)
    affine = LPS @ volume.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    along_row, along_column, along_stack = (affine[:3, :3] / spacing).T
    frames = np.round(volume.data / slope).astype(np.uint16).transpose(2, 1, 0)
    common = {
        "PatientName": patient,
        "PatientID": patient,
        "StudyInstanceUID": study_uid,
        "SeriesInstanceUID": f"{study_uid}.{number}",
        "FrameOfReferenceUID": f"{study_uid}.0",
        "SeriesNumber": number,
        "SeriesDescription": description,
        "Modality": "MR",
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "NONE"],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": frames.shape[1],
        "Columns": frames.shape[2],
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        **tags,
    }
    positions = [affine[:3, 3] + k * affine[:3, 2] + k * shift_mm * along_row for k in range(len(frames))]
    orientation = [round(float(value), 9) for value in (*along_row, *along_column)]
    pixel_spacing = [float(spacing[1]), float(spacing[0])]
    if enhanced:
        return [
            _write_enhanced(
                folder, frames, common, positions, orientation, pixel_spacing, float(spacing[2]), slope, b_value
            )
        ]
    kept = [k for k in range(len(frames)) if k not in skip]
    names = np.random.default_rng(0).permutation(len(frames)) if shuffle else np.arange(len(frames))
    paths = []
    for k in kept:
        one = _dataset(CLASSIC, common)
        one.InstanceNumber = k + 1
        one.ImagePositionPatient = [float(f"{value:.9g}") for value in positions[k]]
        one.ImageOrientationPatient = orientation
        one.PixelSpacing = pixel_spacing
        one.SliceThickness = float(spacing[2])
        one.RescaleSlope, one.RescaleIntercept = slope, 0
        one.PixelData = frames[k].tobytes()
        if each:
            each(k, one)
        paths.append(folder / f"{number:03d}_{names[k]:04d}.dcm")
        one.save_as(paths[-1], enforce_file_format=True)
    return paths


def write_kinds(
    volumes: Sequence[Volume],
    folder: Path,
    kinds: Sequence[dict[str, dict[str, object]]],
    *,
    single: bool = False,
    description: str = "",
    number: int = 1,
    drop: Sequence[str] = (),
    private_dimension: bool = False,
    **tags: object,
) -> list[Path]:
    """Write volumes of several kinds as one enhanced series: one file, or with `single` a file for each frame.

    Each kind gives functional groups by name, such as {"MREchoSequence": {"EffectiveEchoTime": 90}}.
    """
    wholes = []
    for volume, groups in zip(volumes, kinds, strict=True):
        (path,) = write_series(volume, folder, description=description, number=number, enhanced=True, **tags)
        one = pydicom.dcmread(path)
        for frame in one.PerFrameFunctionalGroupsSequence:
            for name, values in groups.items():
                if name == "FrameContentSequence":
                    for tag, value in values.items():
                        setattr(frame[name].value[0], tag, value)
                else:
                    setattr(frame, name, Items([_item(**values)]))
        wholes.append(one)
    first = wholes[0]
    frames = [frame for one in wholes for frame in one.PerFrameFunctionalGroupsSequence]
    size = len(first.PixelData) // int(first.NumberOfFrames)
    pixels = b"".join(one.PixelData for one in wholes)
    if private_dimension:
        stack = first.DimensionIndexSequence[0]
        private = copy.deepcopy(stack)
        private.DimensionIndexPointer, private.DimensionIndexPrivateCreator = 0x2005106E, "Philips MR Imaging DD 001"
        del private.FunctionalGroupPointer
        first.DimensionIndexSequence = Items([stack, private])
    for name in drop:
        del first[name]
    path.unlink()
    parts = [[k] for k in range(len(frames))] if single else [list(range(len(frames)))]
    paths = []
    for part in parts:
        one = copy.deepcopy(first)
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        one.NumberOfFrames, one.InstanceNumber = len(part), part[0] + 1
        one.PerFrameFunctionalGroupsSequence = Items([frames[k] for k in part])
        one.PixelData = b"".join(pixels[k * size : (k + 1) * size] for k in part)
        paths.append(folder / f"{number:03d}_enhanced_{part[0]:04d}.dcm")
        one.save_as(paths[-1], enforce_file_format=True)
    return paths


def _dataset(kind: str, common: dict[str, object]) -> Dataset:
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.SpecificCharacterSet = "ISO_IR 192"
    one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = kind
    one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    for tag, value in common.items():
        setattr(one, tag, value)
    return one


def _write_enhanced(
    folder: Path,
    frames: np.ndarray,
    common: dict[str, object],
    positions: list[np.ndarray],
    orientation: list[float],
    pixel_spacing: list[float],
    distance_mm: float,
    slope: float,
    b_value: float | None,
) -> Path:
    timing = {key: common.pop(key) for key in ("RepetitionTime", "EchoTime", "InversionTime") if key in common}
    one = _dataset(ENHANCED, common)
    one.NumberOfFrames = len(frames)
    one.InstanceNumber = 1
    shared = Dataset()
    shared.PixelMeasuresSequence = Items(
        [_item(PixelSpacing=pixel_spacing, SliceThickness=distance_mm, SpacingBetweenSlices=distance_mm)]
    )
    shared.PlaneOrientationSequence = Items([_item(ImageOrientationPatient=orientation)])
    shared.PixelValueTransformationSequence = Items([_item(RescaleSlope=slope, RescaleIntercept=0, RescaleType="US")])
    if timing:
        shared.MRTimingAndRelatedParametersSequence = Items([_item(RepetitionTime=timing["RepetitionTime"])])
        shared.MREchoSequence = Items([_item(EffectiveEchoTime=timing["EchoTime"])])
        if "InversionTime" in timing:
            shared.MRModifierSequence = Items([_item(InversionTimes=[timing["InversionTime"]])])
    if b_value is not None:
        shared.MRDiffusionSequence = Items([_item(DiffusionBValue=b_value)])
    one.SharedFunctionalGroupsSequence = Items([shared])
    per_frame = []
    for k, place in enumerate(positions):
        groups = Dataset()
        groups.PlanePositionSequence = Items([_item(ImagePositionPatient=[float(f"{v:.9g}") for v in place])])
        groups.FrameContentSequence = Items([_item(DimensionIndexValues=[k + 1])])
        per_frame.append(groups)
    one.PerFrameFunctionalGroupsSequence = Items(per_frame)
    organization = generate_uid()
    one.DimensionOrganizationSequence = Items([_item(DimensionOrganizationUID=organization)])
    one.DimensionIndexSequence = Items(
        [
            _item(
                DimensionOrganizationUID=organization,
                DimensionIndexPointer=pydicom.tag.Tag("ImagePositionPatient"),
                FunctionalGroupPointer=pydicom.tag.Tag("PlanePositionSequence"),
            )
        ]
    )
    one.PixelData = frames.tobytes()
    path = folder / "enhanced.dcm"
    one.save_as(path, enforce_file_format=True)
    return path


def _item(**values: object) -> Dataset:
    item = Dataset()
    for tag, value in values.items():
        setattr(item, tag, value)
    return item
