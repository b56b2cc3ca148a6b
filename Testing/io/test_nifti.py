"""NIfTI files: valid ones are read exactly, faulty ones are refused by name."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest

from magpie_core.errors import InputError, MagpieError, ResourceError
from magpie_core.imaging.volume import Volume
from magpie_core.io.nifti import read_channels, read_volume, write_volume

IMAGE = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


def refused(path: Path, **options) -> InputError:
    """Return the error of reading a faulty file; it always names the file and a remedy."""
    with pytest.raises(InputError) as caught:
        read_volume(path, **options)
    assert caught.value.source == str(path)
    assert caught.value.remedy
    return caught.value


# --- sound files


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ"])
def test_round_trip(name: str, tmp_path: Path) -> None:
    affine = np.array([[0, -2.0, 0, 7], [0, 0, 3, -8], [1.5, 0, 0, 9], [0, 0, 0, 1]])
    write_volume(Volume(IMAGE.astype(np.float32), affine), tmp_path / name)
    volume = read_volume(tmp_path / name)
    assert (volume.data == IMAGE).all()
    assert volume.data.dtype == np.float32
    assert np.allclose(volume.affine, affine)
    assert volume.source == str(tmp_path / name)


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "f4", "f8"])
def test_read_volume_agrees_with_nibabel(dtype: str, save) -> None:
    path = save(IMAGE.clip(0, 100).astype(dtype), affine=np.diag([2.0, -3, 4, 1]))
    reference = nibabel.load(path)
    volume = read_volume(path)
    assert np.allclose(volume.data, reference.get_fdata())
    assert np.allclose(volume.affine, reference.affine)


def test_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(IMAGE.astype(np.float32) * 0.37 + 11, np.eye(4))
    image.set_data_dtype(np.uint8)  # nibabel chooses a slope
    nibabel.save(image, tmp_path / "a.nii.gz")
    expected = nibabel.load(tmp_path / "a.nii.gz").get_fdata()
    assert np.allclose(read_volume(tmp_path / "a.nii.gz").data, expected)


def test_the_other_byte_order_is_read(tmp_path: Path) -> None:
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    nibabel.save(nibabel.Nifti1Image(IMAGE, np.eye(4), header), tmp_path / "a.nii")
    assert (tmp_path / "a.nii").read_bytes()[:4] == struct.pack(">i", 348)
    assert (read_volume(tmp_path / "a.nii").data == IMAGE).all()


def test_nifti_2_and_header_extensions_are_read(save, tmp_path: Path) -> None:
    assert (read_volume(save(IMAGE, kind=nibabel.Nifti2Image)).data == IMAGE).all()
    image = nibabel.Nifti1Image(IMAGE, np.eye(4))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"x" * 5000))
    nibabel.save(image, tmp_path / "extended.nii.gz")
    assert (read_volume(tmp_path / "extended.nii.gz").data == IMAGE).all()


def test_compression_is_recognized_whatever_the_name(save, tmp_path: Path) -> None:
    plain = save(IMAGE, "a.nii")
    (tmp_path / "b.nii.gz").write_bytes(plain.read_bytes())
    (tmp_path / "c.nii").write_bytes(gzip.compress(plain.read_bytes()))
    assert (read_volume(tmp_path / "b.nii.gz").data == IMAGE).all()
    assert (read_volume(tmp_path / "c.nii").data == IMAGE).all()


def test_axes_of_length_one_at_the_end_are_dropped(save) -> None:
    assert (read_volume(save(IMAGE[..., None])).data == IMAGE).all()
    assert (read_volume(save(IMAGE[..., None, None])).data == IMAGE).all()


def test_read_channels_returns_all_images_of_a_file_with_four_dimensions(save) -> None:
    one, other = read_channels(save(np.stack([IMAGE, IMAGE[::-1]], axis=-1)))
    assert (one.data == IMAGE).all()
    assert (other.data == IMAGE[::-1]).all()


# --- faults of the file


def test_missing_file_folder_and_wrong_type_are_refused(tmp_path: Path) -> None:
    assert "does not exist" in str(refused(tmp_path / "none.nii.gz"))
    (tmp_path / "folder.nii").mkdir()
    assert "folder" in str(refused(tmp_path / "folder.nii"))
    for name, word in [("a.nrrd", ".nrrd"), ("a.dcm", "DICOM"), ("IM0001", "DICOM")]:
        (tmp_path / name).write_bytes(b"content")
        assert word in str(refused(tmp_path / name))


def test_a_file_without_read_permission_is_refused(save, monkeypatch) -> None:
    path = save(IMAGE)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert "Permission denied" in str(refused(path))


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"\x00" * 100, "cut short"),
        (b"not an image at all" * 50, "not a NIfTI"),
        (gzip.compress(b"not an image at all" * 50), "not a NIfTI"),
    ],
    ids=["nothing", "zeros", "text", "packed text"],
)
def test_other_contents_are_refused(content: bytes, word: str, tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(content)
    assert word in str(refused(path))


def test_half_of_a_pair_is_refused(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(IMAGE, np.eye(4)), tmp_path / "a.img")
    (tmp_path / "a.nii").write_bytes((tmp_path / "a.hdr").read_bytes())
    assert "pair" in str(refused(tmp_path / "a.nii"))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("kept", [0.1, 0.6, 0.99])
def test_a_truncated_file_is_refused(name: str, kept: float, save) -> None:
    path = save(np.random.default_rng(0).integers(0, 4000, (20, 20, 20)).astype(np.int16), name)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    assert "cut short" in str(refused(path))


def test_a_file_with_truncated_compression_is_refused(save) -> None:
    path = save(IMAGE)
    path.write_bytes(path.read_bytes()[:-4])
    assert "cut short" in str(refused(path))


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_a_flipped_byte_is_detected(place: float, save) -> None:
    path = save(np.random.default_rng(0).integers(0, 4000, (20, 20, 20)).astype(np.int16))
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 0xFF
    path.write_bytes(content)
    assert "damaged" in str(refused(path))


def test_a_flipped_byte_of_the_checksum_is_detected(save) -> None:
    path = save(IMAGE)
    content = bytearray(path.read_bytes())
    content[-6] ^= 0x01
    path.write_bytes(content)
    assert "damaged" in str(refused(path))


def test_a_header_with_another_size_is_refused(save) -> None:
    path = save(np.zeros((20, 20, 20), np.int16), "a.nii")
    content = bytearray(path.read_bytes())
    content[42:44] = struct.pack("<h", 40)  # larger
    path.write_bytes(content)
    assert "cut short" in str(refused(path))
    content[42:44] = struct.pack("<h", 10)  # smaller
    path.write_bytes(content)
    assert "longer than its header says" in str(refused(path))
    content[42:44] = struct.pack("<h", 0)
    path.write_bytes(content)
    assert "no image" in str(refused(path))
    content[42:48] = struct.pack("<3h", 32767, 32767, 32767)
    path.write_bytes(content)
    with pytest.raises((InputError, ResourceError)):
        read_volume(path)


def test_a_changed_header_byte_raises_no_other_error(save) -> None:
    path = save(IMAGE, "a.nii")
    sound = path.read_bytes()
    random = np.random.default_rng(0)
    for place in range(348):
        content = bytearray(sound)
        content[place] = random.integers(256)
        path.write_bytes(content)
        try:
            read_volume(path)
        except MagpieError as error:
            assert error.what


# --- faults of the content


def test_color_and_complex_images_are_refused(save) -> None:
    color = np.zeros((4, 5, 6), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    assert "color" in str(refused(save(color)))
    assert "complex64" in str(refused(save(IMAGE.astype(np.complex64))))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_or_repaired_with_a_warning(value: float, save) -> None:
    image = IMAGE.astype(np.float32)
    image[1, 2, 3:5] = value
    path = save(image)
    assert "2 voxels are not finite" in str(refused(path))
    volume = read_volume(path, repair=True)
    assert (volume.data[1, 2, 3:5] == 0).all()
    assert "2 voxels (1.7 %)" in volume.warnings[0]
    assert str(path) in volume.warnings[0]
    assert read_volume(save(IMAGE), repair=True).warnings == ()


def test_values_beyond_single_precision_are_refused(save) -> None:
    image = IMAGE.astype(np.float64)
    image[0, 0, 0] = 1e300
    assert "not finite" in str(refused(save(image)))


def test_several_images_in_one_file_are_refused_with_advice(save) -> None:
    error = refused(save(np.stack([IMAGE] * 4, axis=-1)))
    assert "4 images" in error.what
    assert "order" in error.remedy


def test_a_single_slice_without_depth_is_refused(save) -> None:
    assert "single slice" in str(refused(save(IMAGE[:, :, 0])))


# --- faults of the orientation

TURNED = np.array([[0, -1.0, 0, 5], [1, 0, 0, 3], [0, 0, 1, 2], [0, 0, 0, 1]])


def test_a_file_without_a_valid_orientation_needs_a_choice(save) -> None:
    path = save(IMAGE, affine=TURNED, sform=0, qform=0)
    assert "neither" in str(refused(path))
    assert np.allclose(read_volume(path, orientation="sform").affine, TURNED)


def test_disagreeing_orientations_need_a_choice(save) -> None:
    other = np.diag([-1.0, -1, 1, 1])
    path = save(IMAGE, affine=TURNED, qform_affine=other)
    error = refused(path)
    assert "disagree" in error.what
    assert "mm" in error.cause
    assert np.allclose(read_volume(path, orientation="sform").affine, TURNED)
    assert np.allclose(read_volume(path, orientation="qform").affine, other)


def test_orientations_that_differ_by_rounding_agree(save) -> None:
    nearly = TURNED.copy()
    nearly[0, 3] += 1e-3
    assert np.allclose(read_volume(save(IMAGE, affine=TURNED, qform_affine=nearly)).affine, TURNED)


@pytest.mark.parametrize(("sform", "qform"), [(2, 1), (1, 0), (0, 1), (4, 2)])
def test_one_valid_orientation_is_enough(sform: int, qform: int, save) -> None:
    path = save(IMAGE, affine=TURNED, sform=sform, qform=qform)
    assert np.allclose(read_volume(path).affine, TURNED, atol=1e-5)


def test_orientation_does_not_override_the_only_valid_transform(save) -> None:
    path = save(IMAGE, affine=TURNED, sform=1, qform=0, qform_affine=np.eye(4))
    assert np.allclose(read_volume(path, orientation="qform").affine, TURNED)


def test_a_sheared_orientation_is_refused(save) -> None:
    sheared = np.eye(4)
    sheared[0, 1] = 0.2
    image = nibabel.Nifti1Image(IMAGE, None)
    image.set_sform(sheared, code=1)
    path = save(IMAGE)
    nibabel.save(image, path)
    assert "sheared" in str(refused(path))


# --- writing


def test_only_nifti_names_are_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must end in"):
        write_volume(Volume(IMAGE, np.eye(4)), tmp_path / "a.nrrd")


def test_writing_is_deterministic(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        write_volume(Volume(IMAGE, np.eye(4)), tmp_path / name)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ResourceError) as caught:
        write_volume(Volume(IMAGE, np.eye(4)), tmp_path / "none" / "a.nii.gz")
    assert caught.value.source == str(tmp_path / "none" / "a.nii.gz")
    assert list(tmp_path.iterdir()) == []
