"""`magpie inspect`."""

from __future__ import annotations

import json

from dicom_files import TIMES, write_series


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_inspect_names_every_file_and_changes_nothing(magpie, write_study, tmp_path):
    folder = write_study()
    (folder / "seg.nii.gz").write_bytes(b"not read")
    before = files(tmp_path)
    result = magpie("inspect", folder)
    assert result.exit_code == 0, result.output
    assert all(f"{name}.nii.gz" in result.stdout for name in ("t1", "t1ce", "t2", "flair", "seg"))
    assert "mask" in result.stdout and files(tmp_path) == before


def test_inspect_lists_the_candidates_of_a_study_that_is_refused(magpie, make_study, tmp_path):
    for number, (modality, volume) in enumerate(make_study().volumes.items(), 1):
        write_series(
            volume,
            tmp_path / f"{number}",
            number=number,
            description="AX T1",
            **TIMES[modality.value],
            StudyDate="2024010" + str(number),
        )
    result = magpie("inspect", tmp_path)
    assert result.exit_code == 3 and "--visit" in result.stderr
    assert sum("?" in line.split()[0] for line in result.stdout.splitlines()) == 4
    document = json.loads(magpie("inspect", tmp_path, "--json").stdout)
    assert document["error"]["kind"] == "InputError" and {row["use"] for row in document["images"]} == {"candidate"}
    assert magpie("inspect", tmp_path, "--visit", "20240102").exit_code == 0
    assert magpie("inspect", tmp_path / "nothing").exit_code == 3
