"""Stacks of a DICOM series: what belongs together is one, what does not is split and named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import TIMES, assert_same_image, write_kinds, write_series

from magpie_core.errors import InputError
from magpie_core.imaging.volume import Volume
from magpie_core.io.dicom_series import DicomSeries, list_series
from magpie_core.io.dicom_volume import read_series

AXIAL = np.array([[-0.9, 0, 0, 12], [0, -0.8, 0, 9], [0, 0, 3, -20], [0, 0, 0, 1]])
MAGNITUDE = {"MRImageFrameTypeSequence": {"ComplexImageComponent": "MAGNITUDE"}}
PHASE = {"MRImageFrameTypeSequence": {"ComplexImageComponent": "PHASE"}}


@pytest.fixture
def phantom() -> Callable[..., Volume]:
    def make(seed: int = 0, affine: np.ndarray = AXIAL) -> Volume:
        return Volume(np.random.default_rng(seed).integers(1, 900, (10, 12, 8)).astype(np.float32), affine)

    return make


def assert_reads_as(series: DicomSeries, expected: Volume, tolerance_mm: float = 1e-3) -> Volume:
    """A stack is read with the values and places of a volume; return what was read."""
    found = read_series(series)
    assert_same_image(found, expected, tolerance_mm)
    return found


def stacks(folder: Path) -> dict[str, DicomSeries]:
    """The stacks of a folder by their texts; nothing may be unused."""
    found, unread = list_series(folder)
    assert not unread
    assert len({series.label for series in found}) == len(found)
    return {series.stack: series for series in found}


# --- the same image several times


def new_identity(path: Path, to: Path, **tags: object) -> None:
    one = pydicom.dcmread(path)
    one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    one.update(pydicom.dataset.Dataset())
    for tag, value in tags.items():
        setattr(one, tag, value)
    one.save_as(to)


def test_a_slice_exported_twice_is_used_once_with_a_note(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    paths = write_series(phantom(), tmp_path)
    new_identity(paths[3], tmp_path / "again.dcm")
    (series,), unread = list_series(tmp_path)
    volume = assert_reads_as(series, phantom())
    assert "1 image was exported twice" in volume.warnings[0]
    assert [row.label for row in unread] in (["again.dcm"], [paths[3].name])


def test_a_whole_series_exported_twice_is_used_once(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    for path in write_series(phantom(), tmp_path / "a"):
        new_identity(path, tmp_path / f"{path.stem}_again.dcm")
    (series,), unread = list_series(tmp_path)
    assert "8 images were exported twice" in assert_reads_as(series, phantom()).warnings[0]
    assert sum(len(row.files) for row in unread) == 8


def test_identical_files_are_used_once_with_a_row(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    write_series(phantom(), tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (series,), (row,) = list_series(tmp_path)
    assert_reads_as(series, phantom())
    assert (row.label, len(row.files)) == ("8 files in b/", 8) and "identical copy" in row.reason


def test_two_images_at_one_place_with_other_content_are_refused_by_place(
    tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    paths = write_series(phantom(), tmp_path)
    other = pydicom.dcmread(paths[4]).pixel_array + 1
    new_identity(paths[3], tmp_path / "again.dcm", PixelData=other.tobytes())
    (series,), _ = list_series(tmp_path)
    with pytest.raises(InputError, match=r"same place.*-11.0 mm"):
        read_series(series)


def test_an_enhanced_file_exported_twice_is_used_once(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    for name in "ab":
        write_series(phantom(), tmp_path / name, enhanced=True)
    (series,), _ = list_series(tmp_path)
    assert "8 images were exported twice" in assert_reads_as(series, phantom()).warnings[0]


def test_images_that_share_one_identifier_are_all_used(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    write_series(phantom(), tmp_path, each=lambda k, one: setattr(one, "SOPInstanceUID", "1.2.9"))
    assert "share their identifiers" in assert_reads_as(stacks(tmp_path)[""], phantom()).warnings[0]


def test_blank_slices_of_two_acquisitions_are_no_copies(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    for number in (1, 2):
        data = phantom(number).data.copy()
        data[..., :2] = 0
        write_series(Volume(data, AXIAL), tmp_path / f"{number}", AcquisitionNumber=number)
    found = stacks(tmp_path)
    assert set(found) == {"acquisition 1", "acquisition 2"}
    assert all(series.frames == 8 for series in found.values())


# --- repeated acquisitions


@pytest.mark.parametrize(
    ("tag", "text"), [("AcquisitionNumber", "acquisition"), ("TemporalPositionIdentifier", "time point")]
)
def test_repeated_acquisitions_are_distinguished(
    tag: str, text: str, tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    for number in (1, 2):
        write_series(phantom(number), tmp_path / f"{number}", **{tag: number})
    found = stacks(tmp_path)
    for number in (1, 2):
        assert_reads_as(found[f"{text} {number}"], phantom(number))
        assert not found[f"{text} {number}"].repeated


def test_repetitions_without_a_number_of_their_own_follow_the_image_numbers(
    tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    for number in (0, 1):
        write_series(
            phantom(number),
            tmp_path / f"{number}",
            each=lambda k, one, number=number: setattr(one, "InstanceNumber", 8 * number + k + 1),
        )
    found = stacks(tmp_path)
    assert_reads_as(found["repetition 1 of 2"], phantom(0))
    assert_reads_as(found["repetition 2 of 2"], phantom(1))


def test_acquisitions_with_high_numbers_are_distinguished(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    for number in (400, 401):
        write_series(phantom(number), tmp_path / f"{number}", AcquisitionNumber=number)
    assert set(stacks(tmp_path)) == {"acquisition 400", "acquisition 401"}


def test_an_acquisition_that_was_broken_off_is_a_stack_of_its_own(
    tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    write_series(phantom(1), tmp_path / "1", AcquisitionNumber=1, skip=(5, 6, 7))
    write_series(phantom(2), tmp_path / "2", AcquisitionNumber=2)
    found = stacks(tmp_path)
    assert_reads_as(found["acquisition 2"], phantom(2))
    assert found["acquisition 1"].frames == 5


def test_a_number_that_changes_from_slice_to_slice_splits_nothing(
    tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    write_series(phantom(), tmp_path, each=lambda k, one: setattr(one, "AcquisitionNumber", k))
    assert_reads_as(stacks(tmp_path)[""], phantom())


def test_a_series_over_time_stays_one_and_is_marked(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    for number in range(6):
        write_series(phantom(number), tmp_path / f"{number}", TemporalPositionIdentifier=number + 1)
    (series,), unread = list_series(tmp_path)
    assert series.repeated and series.frames == 48 and not unread


# --- kinds of image


def test_echo_times_that_differ_in_the_last_digit_make_one_stack(
    tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    write_series(phantom(), tmp_path, each=lambda k, one: setattr(one, "EchoTime", (9.8, 9.808)[k % 2]))
    assert_reads_as(stacks(tmp_path)[""], phantom())


def test_orientation_and_spacing_that_differ_by_rounding_make_one_stack(
    tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    def change(k: int, one: pydicom.Dataset) -> None:
        one.ImageOrientationPatient = [1, 2e-4 * (k % 2), 0, 0, 1, -1e-4 * (k % 3)]
        one.PixelSpacing = [0.8, 0.9001 if k % 2 else 0.9]

    write_series(phantom(), tmp_path, each=change)
    assert_reads_as(stacks(tmp_path)[""], phantom(), tolerance_mm=5e-3)


def test_two_echoes_are_two_stacks(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    for number, echo in enumerate((12, 90)):
        write_series(phantom(number), tmp_path / f"{number}", EchoTime=echo, RepetitionTime=3000)
    found = stacks(tmp_path)
    assert_reads_as(found["echo time 12 ms"], phantom(0))
    assert_reads_as(found["echo time 90 ms"], phantom(1))
    assert found["echo time 90 ms"].echo_ms == 90
    assert found["echo time 90 ms"].label == "series 1 (without a description, echo time 90 ms, 8 images)"


@pytest.mark.parametrize(
    ("first", "second", "texts"),
    [
        (["ORIGINAL", "PRIMARY", "M", "ND"], ["ORIGINAL", "PRIMARY", "P", "ND"], ("magnitude", "phase")),
        (["ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"], ["ORIGINAL", "PRIMARY", "R", "R", "FFE"], ("magnitude", "real")),
        (["ORIGINAL", "PRIMARY", "R", "ND"], ["ORIGINAL", "PRIMARY", "I", "ND"], ("real", "imaginary")),
        (["DERIVED", "PRIMARY", "DIXON", "WATER"], ["DERIVED", "PRIMARY", "DIXON", "FAT"], ("water", "fat")),
        (["DERIVED", "PRIMARY", "W", "IP"], ["DERIVED", "PRIMARY", "F", "OP"], ("water", "fat")),
        (
            ["DERIVED", "PRIMARY", "DIXON", "IN_PHASE"],
            ["DERIVED", "PRIMARY", "DIXON", "OUT_PHASE"],
            ("in phase", "opposed phase"),
        ),
    ],
)
def test_components_and_dixon_parts_are_distinguished(
    first: list[str], second: list[str], texts: tuple[str, str], tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    for number, kind in enumerate((first, second)):
        write_series(phantom(number), tmp_path / f"{number}", ImageType=kind)
    found = stacks(tmp_path)
    for number, text in enumerate(texts):
        assert_reads_as(found[text], phantom(number))


def test_dixon_parts_of_one_series_are_distinguished_by_their_descriptions(
    tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    for number, part in enumerate("WF"):
        write_series(phantom(number), tmp_path / part, description=f"t1_vibe_dixon_{part}")
    found = stacks(tmp_path)
    assert_reads_as(found["t1_vibe_dixon_W"], phantom(0))
    assert found["t1_vibe_dixon_F"].names[0] == "t1_vibe_dixon_F"


def test_the_phase_of_a_vendor_s_own_element_is_distinguished(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    for code in (0, 1):
        write_series(
            phantom(code),
            tmp_path / f"{code}",
            ImageType=["ORIGINAL", "PRIMARY", "OTHER"],
            each=lambda k, one, code=code: one.add_new(0x0043102F, "SS", code),
        )
    assert set(stacks(tmp_path)) == {"magnitude", "phase"}


def test_all_stacks_of_a_diffusion_series_have_its_highest_b_value(
    tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    for number, b_value in enumerate((0, 1000)):
        write_series(phantom(number), tmp_path / f"{number}", DiffusionBValue=float(b_value))
    found = stacks(tmp_path)
    assert {text: series.b_value for text, series in found.items()} == {"b-value 0": 1000, "b-value 1000": 1000}


def test_planes_are_distinguished_by_name(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    sagittal = np.array([[0, 0, 2.5, -30], [-0.9, 0, 0, 14], [0, -0.9, 0, 25], [0, 0, 0, 1]])
    write_series(phantom(0), tmp_path / "a")
    write_series(phantom(1, sagittal), tmp_path / "b")
    found = stacks(tmp_path)
    assert_reads_as(found["axial"], phantom(0))
    assert_reads_as(found["sagittal"], phantom(1, sagittal))


# --- enhanced files in every packing


def test_an_enhanced_series_of_one_frame_a_file_is_one_stack(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    write_kinds([phantom()], tmp_path, [{}], single=True, **TIMES["T1"])
    found = stacks(tmp_path)[""]
    assert_reads_as(found, phantom())
    assert found.frames == 8 and len(found.files) == 8


def test_magnitude_and_phase_frames_with_private_dimensions_are_distinguished(
    tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    write_kinds([phantom(0), phantom(1)], tmp_path, [MAGNITUDE, PHASE], private_dimension=True)
    found = stacks(tmp_path)
    assert_reads_as(found["magnitude"], phantom(0))
    assert_reads_as(found["phase"], phantom(1))
    assert found["phase"].component == "phase"


@pytest.mark.parametrize("single", [False, True])
def test_echoes_of_an_enhanced_series_are_distinguished(
    single: bool, tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    kinds = [{"MREchoSequence": {"EffectiveEchoTime": echo}} for echo in (12.0, 90.0)]
    write_kinds([phantom(0), phantom(1)], tmp_path, kinds, single=single)
    found = stacks(tmp_path)
    assert_reads_as(found["echo time 12 ms"], phantom(0))
    assert_reads_as(found["echo time 90 ms"], phantom(1))


def test_stacks_of_an_enhanced_file_are_distinguished(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    above = AXIAL.copy()
    above[2, 3] += 60
    kinds = [{"FrameContentSequence": {"StackID": name}} for name in "12"]
    write_kinds([phantom(0), phantom(1, above)], tmp_path, kinds)
    found = stacks(tmp_path)
    assert_reads_as(found["stack 1"], phantom(0))
    assert_reads_as(found["stack 2"], phantom(1, above))


def test_time_points_of_an_enhanced_file_are_distinguished(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    kinds = [{"FrameContentSequence": {"TemporalPositionIndex": number}} for number in (1, 2)]
    write_kinds([phantom(0), phantom(1)], tmp_path, kinds)
    assert_reads_as(stacks(tmp_path)["time point 2"], phantom(1))


def test_an_enhanced_file_without_a_frame_of_reference_is_read(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    write_kinds([phantom()], tmp_path, [{}], drop=["FrameOfReferenceUID"])
    assert_reads_as(stacks(tmp_path)[""], phantom())


@pytest.mark.parametrize("enhanced", [False, True])
def test_unused_high_bits_are_cleared(enhanced: bool, tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    for path in write_series(phantom(), tmp_path, enhanced=enhanced, BitsStored=12, HighBit=11):
        one = pydicom.dcmread(path)
        one.PixelData = (np.frombuffer(one.PixelData, np.uint16) | 0xF000).tobytes()
        one.save_as(path)
    assert_reads_as(stacks(tmp_path)[""], phantom())
