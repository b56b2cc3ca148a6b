"""What a folder of DICOM files holds: every file is used, or has a reason; and what headers state."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import TIMES, write_kinds, write_series
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from magpie_core.imaging.modality import Modality
from magpie_core.imaging.volume import Volume
from magpie_core.io.dicom_files import holds_dicom
from magpie_core.io.dicom_series import DicomSeries, list_series
from magpie_core.io.dicom_volume import read_series
from magpie_core.io.discovery import read_study

AXIAL = np.array([[-0.9, 0, 0, 12], [0, -0.8, 0, 9], [0, 0, 3, -20], [0, 0, 0, 1]])


@pytest.fixture
def phantom() -> Volume:
    return Volume(np.random.default_rng(0).integers(1, 900, (10, 12, 8)).astype(np.float32), AXIAL)


def only(folder: Path) -> DicomSeries:
    (series,), unread = list_series(folder)
    assert not unread
    return series


# --- files


def without_mark(path: Path, to: Path, *, implicit: bool, little: bool = True) -> None:
    one = pydicom.dcmread(path)
    one.file_meta = pydicom.dataset.FileMetaDataset()
    del one.preamble
    pydicom.dcmwrite(to, one, implicit_vr=implicit, little_endian=little, enforce_file_format=False)
    path.unlink()


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("name", ["I.{:03d}", "IM{:06d}", "{:d}.img"])
def test_files_without_the_mark_and_the_ending_are_read(
    implicit: bool, name: str, tmp_path: Path, phantom: Volume
) -> None:
    for number, path in enumerate(write_series(phantom, tmp_path)):
        without_mark(path, tmp_path / name.format(number), implicit=implicit)
    assert holds_dicom(tmp_path)
    assert read_series(only(tmp_path)).data.sum() == phantom.data.sum()


def test_big_endian_files_without_the_mark_are_read(tmp_path: Path, phantom: Volume) -> None:
    def swapped(_: int, one: Dataset) -> None:
        one.PixelData = np.frombuffer(one.PixelData, np.uint16).byteswap().tobytes()

    for number, path in enumerate(write_series(phantom, tmp_path, each=swapped)):
        without_mark(path, tmp_path / f"I{number}", implicit=False, little=False)
    assert read_series(only(tmp_path)).data.sum() == phantom.data.sum()


@pytest.mark.parametrize(
    "content",
    [b"", b"\x08\x00", b"\x08\x00\x05\x00 text that goes on", b"\x5c\x01\x00\x00" + bytes(400), b"hello" * 100],
    ids=["empty", "two bytes", "text", "nifti", "words"],
)
def test_other_files_are_not_taken_for_dicom(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    assert not holds_dicom(tmp_path)
    assert list_series(tmp_path) == ([], ())


def test_files_without_an_image_are_named_with_their_kind(tmp_path: Path, phantom: Volume) -> None:
    (path, *_) = write_series(phantom, tmp_path / "images")
    one = pydicom.dcmread(path)
    for tag in ("Rows", "Columns", "PixelData"):
        delattr(one, tag)
    for name, kind in (("raw", "1.2.840.10008.5.1.4.1.1.66"), ("state", "1.2.840.10008.5.1.4.1.1.11.1")):
        one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = kind
        one.save_as(tmp_path / name)
    found, unread = list_series(tmp_path)
    assert len(found) == 1
    reasons = {row.label: row.reason for row in unread}
    assert "Raw Data" in reasons["raw"] and "Presentation State" in reasons["state"]


def test_a_folder_given_for_one_modality_may_hold_files_without_images(tmp_path: Path, phantom: Volume) -> None:
    (path, *_) = write_series(phantom, tmp_path)
    one = pydicom.dcmread(path)
    for tag in ("Rows", "Columns", "PixelData"):
        delattr(one, tag)
    one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.66"
    one.SeriesInstanceUID, one.SOPInstanceUID = "1.2.3.99", "1.2.3.100"
    one.save_as(tmp_path / "raw.dcm")
    assert read_study({Modality.T1: tmp_path}).volumes[Modality.T1].data.sum() == phantom.data.sum()


def test_damaged_and_locked_files_are_named(tmp_path: Path, phantom: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(phantom, tmp_path)
    (tmp_path / "half.dcm").write_bytes(bytes(128) + b"DICM\x02\x00")
    (tmp_path / "locked.dcm").write_bytes(b"x")
    sound = Path.open

    def opened(path: Path, *args: object, **kwargs: object) -> object:
        if path.name == "locked.dcm":
            raise PermissionError(13, "Permission denied")
        return sound(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", opened)
    (series,), unread = list_series(tmp_path)
    assert series.frames == 8
    reasons = {row.label: row.reason for row in unread}
    assert "damaged" in reasons["half.dcm"] and "Permission denied" in reasons["locked.dcm"]


def test_damaged_elements_do_not_stop_a_listing(tmp_path: Path, phantom: Volume) -> None:
    """A number of three bytes raises pydicom's BytesLengthException when it is converted."""
    for path in write_series(phantom, tmp_path)[3:5]:
        content = path.read_bytes()
        rows = content.index(b"\x28\x00\x10\x00US\x02\x00")
        path.write_bytes(content[: rows + 6] + b"\x03\x00" + b"\x0a\x00\x00" + content[rows + 10 :])
    found, unread = list_series(tmp_path)
    assert sum(series.frames for series in found) + sum(len(row.files) for row in unread) == 8


def test_links_are_followed_once(tmp_path: Path, phantom: Volume) -> None:
    write_series(phantom, tmp_path / "disk")
    study = tmp_path / "study"
    study.mkdir()
    (study / "images").symlink_to(tmp_path / "disk", target_is_directory=True)
    (study / "loop").symlink_to(study, target_is_directory=True)
    (study / "lost").symlink_to(tmp_path / "nowhere")
    (series,), (row,) = list_series(study)
    assert series.frames == 8 and row.label == "lost" and "cannot be opened" in row.reason


def test_linked_files_are_read(tmp_path: Path, phantom: Volume) -> None:
    (tmp_path / "study").mkdir()
    for number, path in enumerate(write_series(phantom, tmp_path / "disk")):
        (tmp_path / "study" / f"{number}").symlink_to(path)
    assert only(tmp_path / "study").frames == 8


def test_packed_media_with_a_directory_file_are_read(tmp_path: Path, phantom: Volume) -> None:
    paths = write_series(phantom, tmp_path, description="T1 3D", **TIMES["T1"])
    one = pydicom.dcmread(paths[0])
    for tag in ("Rows", "Columns", "PixelData"):
        delattr(one, tag)
    one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    one.save_as(tmp_path / "DICOMDIR")
    with zipfile.ZipFile(tmp_path / "disc.zip", "w") as archive:
        archive.write(tmp_path / "DICOMDIR", "disc/DICOMDIR")
        for number, path in enumerate(paths):
            archive.write(path, f"disc/DICOM/S00/I{number:02d}")
    assert set(read_study(tmp_path / "disc.zip").volumes) == {Modality.T1}


# --- what headers state


def items(**values: object) -> Items:
    one = Dataset()
    for tag, value in values.items():
        setattr(one, tag, value)
    return Items([one])


@pytest.mark.parametrize(
    ("tags", "agents"),
    [
        ({}, ()),
        ({"ContrastBolusAgent": "Gadovist"}, ("Gadovist",)),
        ({"ContrastBolusAgent": "NONE"}, ("NONE",)),
        ({"ContrastBolusAgentSequence": items(CodeMeaning="Gadobutrol")}, ("Gadobutrol",)),
        ({"ContrastBolusIngredient": "GADOLINIUM"}, ("GADOLINIUM",)),
    ],
)
def test_every_text_about_an_agent_is_a_fact(
    tags: dict[str, object], agents: tuple[str, ...], tmp_path: Path, phantom: Volume
) -> None:
    write_series(phantom, tmp_path, **tags)
    assert only(tmp_path).agents == agents


def test_an_agent_that_was_not_given_counts_as_none(tmp_path: Path, phantom: Volume) -> None:
    groups = {"ContrastBolusUsageSequence": {"ContrastBolusAgentNumber": 1, "ContrastBolusAgentAdministered": "NO"}}
    write_kinds(
        [phantom], tmp_path, [groups], ContrastBolusAgentSequence=items(CodeMeaning="Gadobutrol"), **TIMES["T1"]
    )
    assert only(tmp_path).agents == ("NONE",)


@pytest.mark.parametrize("enhanced", [False, True], ids=["classic", "enhanced"])
def test_sizes_and_places_are_facts(enhanced: bool, tmp_path: Path, phantom: Volume) -> None:
    write_series(phantom, tmp_path, enhanced=enhanced, BodyPartExamined="HEAD", **TIMES["FLAIR"])
    series = only(tmp_path)
    assert np.allclose(series.spacing_mm, (0.8, 0.9, 3.0))
    assert np.allclose(series.extent_mm, (12 * 0.8, 10 * 0.9, 24.0))
    middle = phantom.affine @ [4.5, 5.5, 3.5, 1]
    assert np.allclose(series.center_mm, [-middle[0], -middle[1], middle[2]])
    assert (series.plane, series.frames, series.repeated) == ("axial", 8, False)
    assert (series.repetition_ms, series.echo_ms, series.inversion_ms) == (9000, 120, 2500)
    assert (series.body_part, series.frame_of_reference) == ("HEAD", "1.2.3.0")
    assert series.voxel_ml == pytest.approx(0.00216)


@pytest.mark.parametrize(
    ("tags", "seconds"),
    [
        ({"AcquisitionTime": "101530.500000", "ContentTime": "120000"}, 36930.5),
        ({"ContentTime": "1015"}, 36900.0),
        ({"SeriesTime": "101530"}, 36930.0),
        ({"AcquisitionDateTime": "20240103001000.00", "StudyDate": "20240102"}, 87000.0),
        ({"AcquisitionTime": "001000", "AcquisitionDate": "20240103", "StudyDate": "20240102"}, 87000.0),
        ({"AcquisitionTime": "what"}, None),
    ],
)
def test_the_time_is_the_start_of_the_acquisition(
    tags: dict[str, str], seconds: float | None, tmp_path: Path, phantom: Volume
) -> None:
    write_series(phantom, tmp_path, **tags)
    assert only(tmp_path).time_s == seconds


def test_the_folder_of_a_series_is_a_fact(tmp_path: Path, phantom: Volume) -> None:
    write_series(phantom, tmp_path / "visit 1" / "t1")
    assert only(tmp_path).folder == "visit 1/t1"
    assert only(tmp_path / "visit 1" / "t1").folder == ""
