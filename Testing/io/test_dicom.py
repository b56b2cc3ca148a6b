"""DICOM series: classification, geometry, and faults."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_files import TIMES, assert_same_image, write_series

from magpie_core.errors import InputError
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.volume import Volume
from magpie_core.io.discovery import read_study

AXIAL = np.array([[-0.9, 0, 0, 12], [0, -0.8, 0, 9], [0, 0, 3, -20], [0, 0, 0, 1]])
SAGITTAL = np.array([[0, 0, 2.5, -30], [-0.9, 0, 0, 14], [0, -0.9, 0, 25], [0, 0, 0, 1]])
ANGLE = np.radians(17)
OBLIQUE = np.array(
    [
        [-0.9, 0, 0, 12],
        [0, -0.9 * np.cos(ANGLE), -3 * np.sin(ANGLE), 9],
        [0, -0.9 * np.sin(ANGLE), 3 * np.cos(ANGLE), -20],
        [0, 0, 0, 1],
    ]
)


@pytest.fixture
def phantom() -> Callable[..., Volume]:
    def make(affine: np.ndarray = AXIAL, seed: int = 0) -> Volume:
        random = np.random.default_rng(seed)
        data = np.zeros((20, 24, 12), np.float32)
        data[3:-3, 4:-4, 2:-2] = random.integers(50, 900, (14, 16, 8))
        return Volume(data, affine)

    return make


@pytest.mark.parametrize("affine", [AXIAL, SAGITTAL, OBLIQUE], ids=["axial", "sagittal", "oblique"])
@pytest.mark.parametrize("enhanced", [False, True], ids=["classic", "enhanced"])
def test_values_and_geometry_equal_those_of_the_nifti(
    tmp_path: Path, phantom: Callable[..., Volume], affine: np.ndarray, enhanced: bool
) -> None:
    volumes = {}
    for number, name in enumerate(TIMES, 1):
        volumes[Modality(name)] = phantom(affine, number)
        write_series(
            volumes[Modality(name)],
            tmp_path / f"{number}",
            number=number,
            enhanced=enhanced,
            shuffle=True,
            **TIMES[name],
        )
    study = read_study(tmp_path)
    assert set(study.volumes) == set(volumes)
    for modality, volume in study.volumes.items():
        assert_same_image(volume, volumes[modality])


def test_stored_values_are_rescaled(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    volume = Volume(phantom().data * 0.5, AXIAL)
    write_series(volume, tmp_path, slope=0.5, description="T1 MPRAGE")
    assert_same_image(read_study(tmp_path).volumes[Modality.T1], volume)


def test_contrast_agent_and_description_classify_t1ce(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    write_series(phantom(seed=1), tmp_path, number=1, description="t1_mprage_sag")
    write_series(phantom(seed=2), tmp_path, number=2, description="t1_mprage_sag", ContrastBolusAgent="Dotarem")
    write_series(phantom(seed=3), tmp_path, number=3, description="t2_tse_tra", EchoTime=95, RepetitionTime=4000)
    study = read_study(tmp_path)
    assert set(study.volumes) == {Modality.T1, Modality.T1CE, Modality.T2}
    assert_same_image(study.volumes[Modality.T1CE], phantom(seed=2))


@pytest.mark.parametrize(
    ("described", "timing", "expected"),
    [
        ("AX T1 W/ CONTRAST", "T1", "T1CE"),
        ("T1 POST W/FS", "T1", "T1CE"),
        ("AX FLAIR W/O", "FLAIR", "FLAIR"),
        ("AX T2 W/O CONTRAST", "T2", "T2"),
        ("t2_tirm_tra_dark-fluid_4mm", "FLAIR", "FLAIR"),
        ("T2 Dark Fluid", "FLAIR", "FLAIR"),
        ("t2_tirm_tra", "FLAIR", "FLAIR"),
        ("Ax T1 +C BRAIN TUMOR", "T1", "T1CE"),
        ("AX T1 FS GD lesion", "T1", "T1CE"),
        ("sT1W/SE", "T1", "T1"),
        ("sT2W_FLAIR", "FLAIR", "FLAIR"),
        ("sT1W_3D_FFE +C", "T1", "T1CE"),
        ("ep2d_diff_b0", "T2", None),
        ("ep2d_diff_3scan_trace", "T2", None),
        ("AX DIFF b1000", "T2", None),
        ("eADC", "T2", None),
        ("gre_hemo", "T1", None),
        ("field_mapping", "T1", None),
    ],
)
def test_scanner_descriptions_are_classified(
    tmp_path: Path, phantom: Callable[..., Volume], described: str, timing: str, expected: str | None
) -> None:
    write_series(phantom(), tmp_path, description=described, **TIMES[timing])
    if expected is None:
        with pytest.raises(InputError, match="None of the series"):
            read_study(tmp_path)
    else:
        assert [name.value for name in read_study(tmp_path).volumes] == [expected]


def test_a_protocol_name_of_the_examination_is_ignored(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    exam = {"ProtocolName": "BRAIN W PERFUSION T1 CONTRAST"}
    write_series(phantom(seed=1), tmp_path, number=1, description="Ax FLAIR", **exam)
    write_series(phantom(seed=2), tmp_path, number=2, description="Ax T1", **exam)
    assert set(read_study(tmp_path).volumes) == {Modality.FLAIR, Modality.T1}


def test_an_enhanced_diffusion_image_is_excluded(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    write_series(phantom(), tmp_path / "a", description="brain", enhanced=True, b_value=1000, **TIMES["T2"])
    write_series(phantom(seed=1), tmp_path / "b", number=2, description="T1 3D")
    assert set(read_study(tmp_path).volumes) == {Modality.T1}


@pytest.mark.parametrize(
    "fault", [{"PixelSpacing": [1.0]}, {"ImageOrientationPatient": [1, 0, 0]}, {"SeriesNumber": None}]
)
def test_a_series_with_a_malformed_header_does_not_stop_the_others(
    tmp_path: Path, phantom: Callable[..., Volume], fault: dict
) -> None:
    import pydicom

    write_series(phantom(seed=1), tmp_path, number=1, description="T1 3D")
    for path in write_series(phantom(seed=2), tmp_path, number=2, description="T2 tse"):
        one = pydicom.dcmread(path)
        for tag, value in fault.items():
            setattr(one, tag, value)
        one.save_as(path)
    try:
        assert Modality.T1 in read_study(tmp_path).volumes
    except InputError as error:
        assert error.remedy


def test_files_without_a_preamble_are_read(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    for path in write_series(phantom(), tmp_path / "old", description="T1 3D"):
        import pydicom

        one = pydicom.dcmread(path)
        one.file_meta = pydicom.dataset.FileMetaDataset()
        del one.preamble
        pydicom.dcmwrite(path, one, implicit_vr=True, little_endian=True, enforce_file_format=False)
        assert path.read_bytes()[128:132] != b"DICM"
    assert_same_image(read_study(tmp_path / "old").volumes[Modality.T1], phantom())
    with zipfile.ZipFile(tmp_path / "old.zip", "w") as packed:
        for path in (tmp_path / "old").iterdir():
            packed.write(path, path.name)
    assert_same_image(read_study(tmp_path / "old.zip").volumes[Modality.T1], phantom())


def test_a_segmentation_beside_dicom_files_is_ignored(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    from magpie_core.io.nifti import write_volume

    write_series(phantom(), tmp_path, description="T1 3D")
    write_volume(phantom(), tmp_path / "segmentation.nii.gz")
    assert_same_image(read_study(tmp_path).volumes[Modality.T1], phantom())


def test_invalid_series_numbers_are_refused(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    from magpie_core.io.nifti import write_volume

    write_series(phantom(), tmp_path / "d", description="T1 3D", number=5)
    with pytest.raises(InputError, match="more than one modality"):
        read_study(tmp_path / "d", series={Modality.T1: 5, Modality.T2: 5})
    (tmp_path / "n").mkdir()
    write_volume(phantom(), tmp_path / "n" / "t1.nii.gz")
    with pytest.raises(InputError, match="apply to DICOM folders"):
        read_study(tmp_path / "n", series={Modality.T1: 5})


def test_a_faulty_series_of_another_modality_is_skipped_with_a_warning(
    tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    write_series(phantom(), tmp_path, description="T1 3D", number=1)
    write_series(phantom(seed=1), tmp_path, description="PD tse", number=2, skip=(4,))
    study = read_study(tmp_path)
    assert set(study.volumes) == {Modality.T1}
    assert any("PD" in text and "missing" in text for text in study.warnings)


def test_localizers_derived_and_other_series_are_excluded(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    write_series(phantom(seed=1), tmp_path, number=1, description="T2 FLAIR")
    write_series(phantom(seed=2), tmp_path, number=2, description="localizer")
    write_series(phantom(seed=3), tmp_path, number=3, description="T1 post SUB")
    write_series(phantom(seed=4), tmp_path, number=4, description="T1 MIP", ImageType=["DERIVED", "SECONDARY", "MIP"])
    write_series(
        phantom(seed=5), tmp_path, number=5, description="ep2d_diff_ADC", ImageType=["DERIVED", "PRIMARY", "ADC"]
    )
    write_series(phantom(seed=6), tmp_path, number=6, description="CT head", Modality="CT")
    (tmp_path / "report.txt").write_text("no image")
    (tmp_path / "empty.dcm").write_bytes(b"")
    assert set(read_study(tmp_path).volumes) == {Modality.FLAIR}


def test_of_two_series_of_one_modality_the_finer_is_used_with_a_warning(
    tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    fine = Volume(phantom(seed=1).data, AXIAL @ np.diag([1, 1, 0.4, 1]))
    write_series(phantom(seed=2), tmp_path, number=4, description="T1 km tra")
    write_series(fine, tmp_path, number=7, description="T1 km 3D")
    study = read_study(tmp_path)
    assert_same_image(study.volumes[Modality.T1CE], fine)
    assert any("series 7" in text and "series 4" in text for text in study.warnings)
    chosen = read_study(tmp_path, series={Modality.T1CE: 4})
    assert_same_image(chosen.volumes[Modality.T1CE], phantom(seed=2))


def test_a_description_that_contradicts_the_timing_gives_a_warning(
    tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    write_series(phantom(), tmp_path, description="T1 tra", **TIMES["T2"])
    assert any("timing is that of T2" in text for text in read_study(tmp_path).warnings)


def test_a_missing_image_is_refused(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    write_series(phantom(), tmp_path, description="T1", skip=(5,))
    with pytest.raises(InputError, match="1 image is missing.*gap of 6.0 mm, elsewhere 3.0"):
        read_study(tmp_path)


def test_truncated_pixel_data_are_refused(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    path = write_series(phantom(), tmp_path, description="T1")[3]
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(InputError, match="Cannot read the series as one volume"):
        read_study(tmp_path)


def test_two_visits_are_refused(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    write_series(phantom(), tmp_path / "a", description="T1", study_uid="1.2.3")
    write_series(phantom(seed=1), tmp_path / "b", description="T2", study_uid="1.2.4", patient="Müller^Zoë")
    with pytest.raises(InputError, match="2 studies.*2 patients"):
        read_study(tmp_path)


def test_non_ascii_names_and_duplicate_files_are_read(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    folder = tmp_path / "Größe 山"
    write_series(phantom(), folder / "ä", description="T1 nativ süß", patient="山田^太郎")
    shutil.copytree(folder / "ä", folder / "copy")  # the same images again
    assert_same_image(read_study(folder).volumes[Modality.T1], phantom())


def test_zip_file_and_dicomdir_are_read(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    paths = write_series(phantom(), tmp_path / "disc" / "DICOM", description="T1")
    (tmp_path / "disc" / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    assert_same_image(read_study(tmp_path / "disc" / "DICOMDIR").volumes[Modality.T1], phantom())
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for number, path in enumerate(paths):
            packed.write(path, f"../../outside/{number}.dcm")
    before = set(tmp_path.rglob("*"))
    study = read_study(archive)
    assert_same_image(study.volumes[Modality.T1], phantom())
    assert study.name == "study"
    assert set(tmp_path.rglob("*")) == before and not (tmp_path.parent / "outside").exists()


def test_zip_bomb_and_damaged_zip_are_refused(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.dcm", bytes(50 << 20))
    with pytest.raises(InputError, match="implausibly large"):
        read_study(bomb)
    damaged = tmp_path / "damaged.zip"
    content = bytearray(bomb.read_bytes())
    content[200:210] = b"0123456789"
    damaged.write_bytes(content)
    with pytest.raises(InputError):
        read_study(damaged)


def test_a_folder_for_each_modality_is_read(tmp_path: Path, phantom: Callable[..., Volume]) -> None:
    write_series(phantom(seed=1), tmp_path / "one", description="unnamed", number=1)
    write_series(phantom(seed=2), tmp_path / "two", description="unnamed", number=2)
    study = read_study({Modality.T1: tmp_path / "one", Modality.FLAIR: tmp_path / "two"})
    assert_same_image(study.volumes[Modality.FLAIR], phantom(seed=2))
    with pytest.raises(InputError, match="one DICOM series, but there are 2"):
        read_study({Modality.T1: tmp_path})


def test_pydicom_test_files_are_read_or_refused_with_a_message() -> None:
    from pydicom.data import get_testdata_file

    installed = get_testdata_file("CT_small.dcm", download=False)
    try:
        read_study(Path(installed).parent)
    except InputError as error:
        assert error.what and error.remedy or error.cause


def test_a_real_case_as_dicom_has_the_geometry_of_its_nifti(cases_folder: Path, tmp_path: Path) -> None:
    case = read_study(cases_folder / "sample" / "UPENN-GBM-00003_11")
    for number, (modality, volume) in enumerate(case.volumes.items(), 1):
        part = Volume(volume.data[:, :, 60:90], volume.affine @ np.array([*np.eye(4)[:2], [0, 0, 1, 60], [0, 0, 0, 1]]))
        write_series(part, tmp_path / str(number), number=number, shuffle=True, **TIMES[modality.value])
    study = read_study(tmp_path)
    assert set(study.volumes) == set(case.volumes)
    for modality, volume in study.volumes.items():
        whole = case.volumes[modality]
        to_index = np.linalg.inv(whole.affine) @ volume.affine
        corners = np.array([[0, 0, 0, 1], [*np.subtract(volume.shape, 1), 1]]).T
        index = (to_index @ corners)[:3]
        assert np.abs(index - np.round(index)).max() < 1e-3
        low, high = np.sort(np.round(index).astype(int), axis=1).T
        part = whole.data[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))]
        expected = Volume(part, whole.affine @ np.block([[np.eye(3), low[:, None]], [np.zeros(3), 1]]))
        assert_same_image(volume, Volume(np.round(expected.data), expected.affine))


def test_an_open_question_is_asked_and_may_be_left_to_the_likelier(
    tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    for number, name in enumerate(("T1", "T2", "FLAIR"), 1):
        tags = {**TIMES[name], "ContrastBolusAgent": "Gadovist"}
        write_series(phantom(seed=number), tmp_path / name, number=number, description=f"AX {name}", **tags)
    with pytest.raises(InputError, match="before or after contrast.*--series T1CE=1") as caught:
        read_study(tmp_path)
    assert "--likely" in caught.value.remedy
    study = read_study(tmp_path, likely=True)
    assert Modality.T1 in study.volumes and any("before or after contrast" in text for text in study.warnings)
    assert Modality.T1CE in read_study(tmp_path, series={Modality.T1CE: 1}).volumes


def test_a_mask_under_the_name_of_a_modality_gives_way_to_the_image(
    tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    fine = AXIAL * np.array([0.5, 0.5, 0.5, 1])
    mask = Volume((phantom(seed=1).data > 500).astype(np.float32), fine)
    write_series(mask, tmp_path / "a", number=1, description="AX FLAIR outlined")
    write_series(phantom(seed=2), tmp_path / "b", number=2, description="AX FLAIR")
    study = read_study(tmp_path)
    assert_same_image(study.volumes[Modality.FLAIR], phantom(seed=2))
    assert [row.reason for row in study.found if row.use == "set aside"] == [
        "a mask: it has only a few different values"
    ]


@pytest.mark.parametrize(("names", "dicom"), [(("t1",), True), (("t1", "t2"), False)])
def test_of_dicom_and_nifti_in_one_folder_the_study_is_used_and_the_other_named(
    names: tuple[str, ...], dicom: bool, tmp_path: Path, phantom: Callable[..., Volume]
) -> None:
    from magpie_core.io.nifti import write_volume

    write_series(phantom(seed=5), tmp_path / "scan", description="AX FLAIR")
    for seed, name in enumerate(names):
        write_volume(phantom(seed=seed), tmp_path / f"{name}.nii.gz")
    study = read_study(tmp_path)
    assert (Modality.FLAIR in study.volumes) is dicom
    aside = [row.label for row in study.found if row.use == "set aside"]
    assert aside == (["t1.nii.gz"] if dicom else ["DICOM files"])
    assert any(text.startswith(aside[0]) for text in study.warnings)
