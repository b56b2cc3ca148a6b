"""Images in other formats than NIfTI: read as the libraries that write them say, or refused by name."""

from __future__ import annotations

import gzip
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from magpie_core.errors import InputError, MagpieError, ResourceError
from magpie_core.imaging.volume import Volume
from magpie_core.io.discovery import find_modalities
from magpie_core.io.image_files import account_of_files
from magpie_core.io.nifti import encode, read_volume

IMAGE = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
TURNED = np.array([[0, -2.0, 0, 5], [1.5, 0, 0, 3], [0, 0, 3, 2], [0, 0, 0, 1]])


def refused(path: Path, **options: str) -> InputError:
    """Return the error of reading a faulty file; it always names the file, and a remedy that is no option of NIfTI."""
    with pytest.raises(InputError) as caught:
        read_volume(path, **options)
    assert caught.value.source == str(path) and caught.value.remedy
    return caught.value


def equal(volume: Volume, affine: np.ndarray = TURNED) -> bool:
    return bool((volume.data == IMAGE).all() and np.allclose(volume.affine, affine, atol=1e-5))


@pytest.fixture
def save_itk(tmp_path: Path) -> Callable[..., Path]:
    itk = pytest.importorskip("SimpleITK")

    def write(name: str, *, packed: bool = False) -> Path:
        image = itk.GetImageFromArray(IMAGE.transpose(2, 1, 0))
        lps = np.diag([-1.0, -1, 1, 1]) @ TURNED
        spacing = np.linalg.norm(lps[:3, :3], axis=0)
        image.SetSpacing(spacing.tolist())
        image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
        image.SetOrigin(lps[:3, 3].tolist())
        itk.WriteImage(image, str(tmp_path / name), packed)
        return tmp_path / name

    return write


# --- NRRD and MetaImage


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mha", "a.mhd"])
def test_nrrd_and_metaimage_lie_where_they_lie_in_itk(name: str, packed: bool, save_itk) -> None:
    assert equal(read_volume(save_itk(name, packed=packed)))


def test_nrrd_in_another_space_is_turned(tmp_path: Path) -> None:
    text = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: RAS\nsizes: 4 5 6\n"
        "space directions: (0,1.5,0) (-2,0,0) (0,0,3)\nspace origin: (5,3,2)\nendian: little\nencoding: gzip\n\n"
    )
    (tmp_path / "a.nrrd").write_bytes(text.encode() + gzip.compress(IMAGE.tobytes(order="F")))
    assert equal(read_volume(tmp_path / "a.nrrd"))


@pytest.mark.parametrize("line", ["space: left-posterior-superior", "space: scanner-xyz"])
def test_nrrd_that_names_no_space_of_the_patient_is_refused(line: str, save_itk) -> None:
    path = save_itk("a.nrrd")
    new = b"space: scanner-xyz\n" if "scanner" in line else b""
    path.write_bytes(path.read_bytes().replace(b"space: left-posterior-superior\n", new))
    with pytest.raises(InputError, match="orientation is not known|damaged"):
        read_volume(path)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kept", [0.7, 0.95])
def test_a_truncated_file_is_refused(name: str, packed: bool, kept: float, save_itk) -> None:
    path = save_itk(name, packed=packed)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(InputError, match="cut short|damaged|space|orientation"):
        read_volume(path)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_altered_packed_data_are_refused(name: str, save_itk) -> None:
    path = save_itk(name, packed=True)
    content = bytearray(path.read_bytes())
    content[-7] ^= 0x10
    path.write_bytes(content)
    assert "check" in refused(path).cause


@pytest.mark.parametrize(("name", "field"), [("a.nhdr", b"data file: "), ("a.mhd", b"ElementDataFile = ")])
@pytest.mark.parametrize("elsewhere", [b"../secret.raw", b"/etc/hostname", b"LIST", b"x%03d.raw 1 6 1"])
def test_data_outside_the_folder_are_refused(name: str, field: bytes, elsewhere: bytes, save_itk) -> None:
    path = save_itk(name)
    (path.parent.parent / "secret.raw").write_bytes(IMAGE.tobytes())
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(field + elsewhere + b"\n" if line.startswith(field) else line for line in lines))
    assert "not one file beside it" in refused(path).what


@pytest.mark.parametrize("name", ["a.nhdr", "a.mhd"])
def test_a_header_without_its_data_is_refused(name: str, save_itk) -> None:
    path = save_itk(name)
    path.with_suffix(".raw").unlink()
    assert "missing" in refused(path).what


@pytest.mark.parametrize("sizes", ["4 5 600", "40000 50000 60000"])
def test_a_header_that_announces_too_much_is_refused_before_memory_is_taken(sizes: str, save_itk) -> None:
    path = save_itk("a.nrrd")
    path.write_bytes(path.read_bytes().replace(b"sizes: 4 5 6", f"sizes: {sizes}".encode()))
    assert "cut short" in refused(path).what


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.mgz", "a.hdr"])
def test_other_contents_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"not an image at all" * 50)
    with pytest.raises(InputError):
        read_volume(tmp_path / name)


# --- MGH


@pytest.mark.parametrize("name", ["a.mgz", "a.mgh"])
def test_mgh_lies_where_it_lies_in_nibabel(name: str, tmp_path: Path) -> None:
    nibabel.save(nibabel.MGHImage(IMAGE, TURNED), tmp_path / name)
    assert equal(read_volume(tmp_path / name))


def test_mgh_without_an_orientation_or_damaged_is_refused(tmp_path: Path) -> None:
    nibabel.save(nibabel.MGHImage(IMAGE, TURNED), tmp_path / "a.mgh")
    content = (tmp_path / "a.mgh").read_bytes()
    (tmp_path / "b.mgh").write_bytes(content[:28] + bytes(2) + content[30:])
    assert "orientation is not known" in refused(tmp_path / "b.mgh").what
    (tmp_path / "c.mgh").write_bytes(content[:400])
    assert "cut short" in refused(tmp_path / "c.mgh").what
    packed = bytearray(gzip.compress(content))
    packed[-6] ^= 1
    (tmp_path / "d.mgz").write_bytes(packed)
    assert "damaged" in refused(tmp_path / "d.mgz").what


# --- NIfTI pairs and other compression


@pytest.mark.parametrize("given", ["a.hdr", "a.img"])
def test_a_pair_is_read_by_either_name(given: str, tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(IMAGE, TURNED), tmp_path / "a.img")
    assert equal(read_volume(tmp_path / given))


def test_a_packed_pair_is_read(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(IMAGE, TURNED), tmp_path / "a.img.gz")
    assert equal(read_volume(tmp_path / "a.img.gz"))


def test_half_a_pair_and_plain_analyze_are_refused(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(IMAGE, TURNED), tmp_path / "a.img")
    (tmp_path / "a.img").unlink()
    assert "a.img, is missing" in refused(tmp_path / "a.hdr").what
    nibabel.save(nibabel.AnalyzeImage(IMAGE, np.diag([-1.5, 2, 3, 1])), tmp_path / "b.img")
    assert "Analyze" in refused(tmp_path / "b.hdr").what


def test_zstandard_is_read_and_its_checksum_compared(tmp_path: Path) -> None:
    zstd = pytest.importorskip("backports.zstd")
    random = np.random.default_rng(0).integers(0, 4000, (20, 20, 20)).astype(np.int16)
    options = {zstd.CompressionParameter.checksum_flag: 1}
    content = bytearray(zstd.compress(encode(random, TURNED, Path("a.nii")), options=options))
    path = tmp_path / "a.nii.zst"
    path.write_bytes(content)
    assert (read_volume(path).data == random).all()
    content[-1] ^= 1
    path.write_bytes(content)
    assert "check" in refused(path).cause
    path.write_bytes(content[:-40])
    assert "cut short" in refused(path).what


def test_zstandard_without_its_package_is_refused_with_advice(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "backports", None)
    (tmp_path / "a.nii.zst").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(100))
    with pytest.raises(ResourceError, match="pip install backports.zstd"):
        read_volume(tmp_path / "a.nii.zst")


# --- quaternions


@pytest.fixture
def with_quaternion(tmp_path: Path) -> Callable[..., Path]:
    """Write an image, and put quaternion, codes and qfac into its header as they are."""

    def write(parts: tuple[float, float, float], *, sform: int = 1, qform: int = 1, qfac: float | None = None) -> Path:
        affine = np.diag([-1.0, -1, 1, 1])
        image = nibabel.Nifti1Image(IMAGE, affine)
        image.set_sform(affine, sform)
        image.set_qform(affine, 1)
        content = bytearray(image.to_bytes())
        content[252:254] = struct.pack("<h", qform)
        content[256:268] = struct.pack("<3f", *parts)
        if qfac is not None:
            content[76:80] = struct.pack("<f", qfac)
        (tmp_path / "a.nii").write_bytes(content)
        return tmp_path / "a.nii"

    return write


@pytest.mark.parametrize("parts", [(0, 0, 1.0000003), (0, 0, 1.0005), (3e-7, 0, 1.0000002)])
@pytest.mark.parametrize(("sform", "qform"), [(1, 1), (1, 0), (0, 1)])
def test_a_quaternion_longer_than_1_by_rounding_is_read(
    parts: tuple[float, float, float], sform: int, qform: int, with_quaternion
) -> None:
    volume = read_volume(with_quaternion(parts, sform=sform, qform=qform))
    assert np.allclose(volume.affine, np.diag([-1.0, -1, 1, 1]), atol=1e-3)


@pytest.mark.parametrize("parts", [(1.0, 0.7, 0.2), (np.nan, 0, 0), (1e30, 0, 0)])
def test_a_qform_that_is_not_declared_is_not_judged(parts: tuple[float, float, float], with_quaternion) -> None:
    for qfac in (None, 0.0, 7.0):
        volume = read_volume(with_quaternion(parts, qform=0, qfac=qfac))
        assert np.allclose(volume.affine, np.diag([-1.0, -1, 1, 1]))


def test_a_damaged_qform_beside_a_sform_needs_a_choice(with_quaternion) -> None:
    path = with_quaternion((1.0, 0.7, 0.2))
    assert "--orientation" in refused(path).remedy
    assert np.allclose(read_volume(path, orientation="sform").affine, np.diag([-1.0, -1, 1, 1]))
    with pytest.raises(MagpieError, match="qform is damaged"):
        read_volume(path, orientation="qform")


def test_a_qfac_of_0_counts_as_1(with_quaternion) -> None:
    volume = read_volume(with_quaternion((0, 0, 1), sform=0, qfac=0.0))
    assert np.allclose(volume.affine, np.diag([-1.0, -1, 1, 1]), atol=1e-6)


# --- in a folder


def test_a_folder_may_hold_any_of_the_formats(tmp_path: Path, save_itk) -> None:
    save_itk("t1.nrrd")
    save_itk("t1ce.mha", packed=True)
    nibabel.save(nibabel.Nifti1Pair(IMAGE[::-1].copy(), TURNED), tmp_path / "t2.img")
    nibabel.save(nibabel.MGHImage(IMAGE[:, ::-1].copy(), TURNED), tmp_path / "flair.mgz")
    save_itk("tumor.seg.nrrd")
    found = {modality.value: path.name for modality, path in find_modalities(tmp_path).items()}
    assert found == {"T1": "t1.nrrd", "T1CE": "t1ce.mha", "T2": "t2.hdr", "FLAIR": "flair.mgz"}
    aside = [row for row in account_of_files(tmp_path, {}) if row.label == "tumor.seg.nrrd"]
    assert aside[0].use == "set aside" and "mask" in aside[0].reason


def test_of_one_image_in_two_formats_the_nifti_file_is_used(tmp_path: Path, save_itk) -> None:
    (tmp_path / "t1.nii.gz").touch()
    save_itk("t1.nrrd")
    used = find_modalities(tmp_path)
    assert [path.name for path in used.values()] == ["t1.nii.gz"]
    assert {row.label: row.use for row in account_of_files(tmp_path, used)}["t1.nrrd"] == "set aside"
    save_itk("t1.mha")
    (tmp_path / "t1.nii.gz").unlink()
    with pytest.raises(InputError, match="More than one file could be the T1"):
        find_modalities(tmp_path)
