"""Places and pixels of a DICOM stack: what is read, straightened, or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import write_series
from pydicom.uid import JPEGLSLossless, RLELossless

from magpie_core.errors import InputError
from magpie_core.imaging.reorientation import Reorientation
from magpie_core.imaging.volume import Volume
from magpie_core.io.dicom_series import DicomSeries, list_series
from magpie_core.io.dicom_volume import read_series

AXIAL = np.array([[-0.9, 0, 0, 12], [0, -0.8, 0, 9], [0, 0, 3, -20], [0, 0, 0, 1]])


def oblique(degrees: float, distance_mm: float, axis: int = 0) -> np.ndarray:
    """An affine whose stack is turned about the first or the second axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) if axis == 0 else np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-0.9, -0.9, distance_mm])
    affine[:3, 3] = (12.34, 9.87, -20.13)
    return affine


@pytest.fixture
def phantom() -> Callable[..., Volume]:
    def make(affine: np.ndarray = AXIAL, slices: int = 8) -> Volume:
        return Volume(np.random.default_rng(0).integers(1, 900, (10, 12, slices)).astype(np.float32), affine)

    return make


def only(folder: Path) -> DicomSeries:
    (series,), unread = list_series(folder)
    assert not unread
    return series


def distance_mm(found: Volume, expected: Volume) -> float:
    """The farthest that a corner lies from where it is to lie; the values must be equal."""
    one, other = Reorientation.of(found.geometry), Reorientation.of(expected.geometry)
    assert np.allclose(one.apply(found.data), other.apply(expected.data), atol=1e-3)
    return float(np.abs(one.geometry.corners_mm() - other.geometry.corners_mm()).max())


def rounded(k: int, one: pydicom.Dataset) -> None:
    one.ImagePositionPatient = [round(float(value), 1) for value in one.ImagePositionPatient]


# --- places


@pytest.mark.parametrize(
    "affine",
    [oblique(17, 0.9), oblique(33, 1.0, axis=1), oblique(8, 3.3), oblique(40, 0.7)],
    ids=["17 degrees, 0.9 mm", "33 degrees about the other axis", "thick slices", "40 degrees, 0.7 mm"],
)
def test_places_rounded_to_a_tenth_of_a_millimeter_are_read(
    affine: np.ndarray, tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    write_series(phantom(affine, 40), tmp_path, each=rounded)
    volume = read_series(only(tmp_path))
    assert distance_mm(volume, phantom(affine, 40)) < 0.15
    assert "rounded to 0.1 mm" in volume.warnings[0]


def test_an_image_missing_among_rounded_places_is_refused(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    write_series(phantom(oblique(17, 0.9), 40), tmp_path, each=rounded, skip=(7,))
    with pytest.raises(InputError, match="1 image is missing"):
        read_series(only(tmp_path))


@pytest.mark.parametrize(("skip", "count"), [((5,), "1 image is"), ((2, 3), "2 images are"), ((2, 5), "2 images are")])
def test_missing_images_are_counted_and_placed(
    skip: tuple[int, ...], count: str, tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    write_series(phantom(), tmp_path, skip=skip)
    with pytest.raises(InputError, match=rf"{count} missing.*Between -?\d+.\d and -?\d+.\d mm"):
        read_series(only(tmp_path))


def test_uneven_slices_are_refused(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    def shifted(k: int, one: pydicom.Dataset) -> None:
        one.ImagePositionPatient = [*one.ImagePositionPatient[:2], float(one.ImagePositionPatient[2]) + 0.77 * (k == 4)]

    write_series(phantom(), tmp_path, each=shifted)
    with pytest.raises(InputError, match="not evenly spaced"):
        read_series(only(tmp_path))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_tilted_stack_is_straightened_with_a_note(sign: int, tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    sound = phantom()
    write_series(sound, tmp_path, shift_mm=sign * 0.9)  # one pixel for each slice
    volume = read_series(only(tmp_path))
    assert "gantry tilt" in volume.warnings[0]
    turned = Reorientation.of(volume.geometry)
    data, affine = turned.apply(volume.data), turned.geometry.affine
    for k in (0, 7):
        index = np.linalg.inv(affine) @ sound.affine @ np.array([9, 11, k, 1.0]) - [sign * k, 0, 0, 0]
        i, j, n = np.rint(index[:3]).astype(int)
        assert np.abs(index[:3] - [i, j, n]).max() < 1e-6
        assert np.allclose(data[i : i + 10, j : j + 12, n][::-1, ::-1], sound.data[..., k], atol=1e-3)


def locations(offset_mm: float, sign: int) -> Callable[[int, pydicom.Dataset], None]:
    def change(k: int, one: pydicom.Dataset) -> None:
        one.SliceLocation = sign * float(one.ImagePositionPatient[2]) + offset_mm
        one.ImagePositionPatient = [-12, -9, -20]

    return change


@pytest.mark.parametrize("sign", [1, -1])
def test_images_with_one_position_are_placed_by_their_slice_locations(
    sign: int, tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    write_series(phantom(), tmp_path, each=locations(0, sign))
    volume = read_series(only(tmp_path))
    assert distance_mm(volume, phantom()) < 1e-3
    assert "placed by their slice locations" in volume.warnings[0]


@pytest.mark.parametrize("each", [locations(35, 1), lambda k, one: setattr(one, "ImagePositionPatient", [1, 2, 3])])
def test_images_with_one_position_are_refused_where_the_direction_is_not_sure(
    each: Callable[[int, pydicom.Dataset], None], tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    write_series(phantom(), tmp_path, each=each)
    with pytest.raises(InputError, match="does not state the positions.*same one"):
        read_series(only(tmp_path))


@pytest.mark.parametrize(
    ("tag", "word"),
    [
        ("ImagePositionPatient", "Position is missing"),
        ("ImageOrientationPatient", "Orientation is missing"),
        ("PixelSpacing", "Pixel spacing is missing"),
    ],
)
def test_a_stack_without_its_geometry_is_refused_by_what_is_missing(
    tag: str, word: str, tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    write_series(phantom(), tmp_path, each=lambda k, one: delattr(one, tag))
    with pytest.raises(InputError, match=word):
        read_series(only(tmp_path))


def test_a_mosaic_is_refused_as_what_it_is(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    write_series(phantom(), tmp_path, ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"])
    series = only(tmp_path)
    assert series.repeated
    with pytest.raises(InputError, match="mosaic"):
        read_series(series)


# --- pixels


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless], ids=["RLE", "JPEG-LS"])
@pytest.mark.parametrize("enhanced", [False, True])
def test_compressed_images_are_read(
    syntax: str, enhanced: bool, tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    for path in write_series(phantom(), tmp_path, enhanced=enhanced):
        one = pydicom.dcmread(path)
        one.compress(syntax)
        one.save_as(path)
    assert distance_mm(read_series(only(tmp_path)), phantom()) < 1e-3


def test_a_compression_without_a_decoder_is_refused_by_name(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    for path in write_series(phantom(), tmp_path):
        one = pydicom.dcmread(path)
        one.PixelData = pydicom.encaps.encapsulate([b"1234"])
        one["PixelData"].VR = "OB"
        one.file_meta.TransferSyntaxUID = pydicom.uid.MPEG2MPML
        one.save_as(path)
    with pytest.raises(InputError, match="MPEG2.*uncompressed"):
        read_series(only(tmp_path))


def test_each_slice_is_scaled_by_its_own_slope(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    def scaled(k: int, one: pydicom.Dataset) -> None:
        one.RescaleSlope, one.RescaleIntercept = 1 + k, -5

    write_series(phantom(), tmp_path, each=scaled)
    expected = Volume(phantom().data * np.arange(1, 9, dtype=np.float32) - 5, AXIAL)
    assert distance_mm(read_series(only(tmp_path)), expected) < 1e-3


@pytest.mark.parametrize("tags", [{"RescaleSlope": 0}, {"PixelData": b"12"}], ids=["slope 0", "too few pixels"])
def test_damaged_pixels_are_refused_by_file(
    tags: dict[str, object], tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    def damaged(k: int, one: pydicom.Dataset) -> None:
        for tag, value in tags.items() if k == 3 else ():
            setattr(one, tag, value)

    write_series(phantom(), tmp_path, each=damaged)
    with pytest.raises(InputError, match=r"Cannot read the series as one volume. 001_0003.dcm"):
        read_series(only(tmp_path))


def test_color_images_are_refused(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    write_series(phantom(), tmp_path, PhotometricInterpretation="RGB", SamplesPerPixel=3)
    with pytest.raises(InputError, match="color"):
        read_series(only(tmp_path))
