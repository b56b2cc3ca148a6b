"""JSON files beside images, as converters of DICOM write them: they say what a name leaves open."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from magpie_core.errors import InputError
from magpie_core.imaging.modality import Modality
from magpie_core.io.discovery import find_modalities, read_study
from magpie_core.io.nifti import write_volume
from magpie_core.io.sidecar import read_sidecar

T1, T1CE, T2, FLAIR = Modality.T1, Modality.T1CE, Modality.T2, Modality.FLAIR
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, make_volume) -> Write:
    """Write an image with a sidecar and return the folder."""

    def make(name: str, **said: Any) -> Path:
        path = tmp_path / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_volume(make_volume(seed=len(list(path.parent.iterdir()))), path)
        path.with_name(f"{name}.json").write_text(json.dumps(said), encoding="utf-8")
        return tmp_path

    return make


def used(folder: Path) -> dict[Modality, str]:
    return {modality: path.name.removesuffix(".nii.gz") for modality, path in find_modalities(folder).items()}


def test_files_without_a_telling_name_are_what_their_sidecars_say(write: Write) -> None:
    write("3", SeriesDescription="AX T1 PRE", SeriesNumber=3)
    write("4", SeriesDescription="AX T2 FLAIR", SeriesNumber=4)
    write("5", SeriesDescription="AX T1 +C", SeriesNumber=5)
    write("6", SeriesDescription="AX DWI B1000", SeriesNumber=6)
    folder = write("7", ProtocolName="", EchoTime=0.1, RepetitionTime=5.0)
    assert used(folder) == {T1: "3", FLAIR: "4", T1CE: "5", T2: "7"}
    study = read_study(folder)
    rows = {row.label: (row.use, row.reason) for row in study.found}
    assert rows["6.nii.gz"][0] == "set aside" and "sidecar" in rows["5.nii.gz"][1]
    assert any(text.startswith("5.nii.gz was taken as T1ce") for text in study.warnings)


@pytest.mark.parametrize(
    ("said", "modality"),
    [
        ({"SeriesDescription": "AX T1 POST GD"}, T1CE),
        ({"SeriesDescription": "AX T1", "ContrastBolusIngredient": "GADOLINIUM"}, T1CE),
        ({"SeriesDescription": "AX T1 PRE", "ContrastBolusIngredient": "GADOLINIUM"}, T1),
        ({"SeriesDescription": "AX T1", "ContrastBolusAgent": "NONE"}, T1),
        ({"SeriesDescription": "AX T1"}, T1),
        ({"SeriesDescription": "AX T2"}, T1),
    ],
)
def test_the_sidecar_of_a_t1_tells_of_contrast(said: dict[str, Any], modality: Modality, write: Write) -> None:
    write("sub-01_T2w", SeriesDescription="AX T2")
    assert used(write("sub-01_T1w", **said)) == {modality: "sub-01_T1w", T2: "sub-01_T2w"}


@pytest.mark.parametrize("name", ["t1ce", "sub-01_ce-gd_T1w", "t1_post"])
def test_a_name_that_says_contrast_is_believed(name: str, write: Write) -> None:
    assert used(write(name, SeriesDescription="AX T1 PRE")) == {T1CE: name}


def test_a_repeated_protocol_is_told_by_its_time(write: Write) -> None:
    for name, time in (("a", "10:00:00.5"), ("b", "10:20:00.25")):
        write(name, SeriesDescription="AX T1", AcquisitionTime=time, RepetitionTime=0.6, EchoTime=0.012)
    folder = write("c", SeriesDescription="AX FLAIR", AcquisitionTime="10:10:00")
    assert used(folder) == {T1: "a", T1CE: "b", FLAIR: "c"}


def test_an_agent_of_the_whole_examination_leaves_a_doubt(write: Write) -> None:
    for name in ("t1", "t2", "flair"):
        folder = write(name, SeriesDescription=name, ContrastBolusAgent="Gadovist")
    study = read_study(folder)
    assert T1 in study.volumes and any("may be after contrast" in text for text in study.warnings)


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b"{", b"\xff\xfe", b'{"Name": "a data set"}', b"[" * 100_000])
def test_a_file_that_is_no_sidecar_says_nothing(content: bytes, write: Write, tmp_path: Path) -> None:
    write("x")
    (tmp_path / "x.json").write_bytes(content)
    assert read_sidecar(tmp_path / "x.nii.gz") is None
    with pytest.raises(InputError):
        find_modalities(tmp_path)


def test_values_of_other_kinds_say_nothing(write: Write, tmp_path: Path) -> None:
    write("t1", SeriesDescription=5, ProtocolName=[1], EchoTime="x", ImageType="M", AcquisitionTime=3, SeriesNumber="a")
    facts = read_sidecar(tmp_path / "t1.nii.gz")
    assert facts is not None and facts.names == () and facts.echo_ms is None and facts.time_s is None
    assert used(tmp_path) == {T1: "t1"}


def test_phase_images_and_maps_are_not_taken_for_a_modality(write: Write) -> None:
    write("1", SeriesDescription="AX T1", ImageType=["ORIGINAL", "PRIMARY", "P", "PHASE"])
    folder = write("2", SeriesDescription="AX T2", ImageType=["ORIGINAL", "PRIMARY", "M"])
    assert used(folder) == {T2: "2"}
