"""JSON lines: appended to the disk, read back past what a crash left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from magpie_core.errors import ResourceError
from magpie_core.storage.json_lines import append_json_line, last_complete_line, read_json_lines


def test_appended_lines_are_read_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert list(read_json_lines(path)) == []
    assert last_complete_line(path) is None
    for number in range(3):
        append_json_line(path, {"number": number, "name": "Zürich \udcff"})
    assert [line["number"] for line in read_json_lines(path)] == [0, 1, 2]
    assert {line["name"] for line in read_json_lines(path)} == {"Zürich \udcff"}
    assert path.read_bytes().isascii()


@pytest.mark.parametrize("size", [1, 100, 70_000, 300_000])
def test_append_removes_an_incomplete_last_line(size: int, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for number in range(2):
        append_json_line(path, {"number": number, "text": "x" * size})
    complete = path.read_bytes()
    path.write_bytes(complete + b'{"number": 2, "text": "' + b"y" * size)
    assert [line["number"] for line in read_json_lines(path)] == [0, 1]
    assert last_complete_line(path) == complete.splitlines(keepends=True)[1]
    append_json_line(path, {"number": 2})
    assert [line["number"] for line in read_json_lines(path)] == [0, 1, 2]
    assert path.read_bytes().startswith(complete)


def test_a_file_with_nothing_but_an_incomplete_line_starts_over(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"number"')
    assert last_complete_line(path) is None
    append_json_line(path, {"number": 0})
    assert path.read_bytes() == b'{"number": 0}\n'


def test_reading_skips_lines_torn_in_the_middle_of_older_files(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"number": 0}\n{"numb\n\xff\xfe\n[1]\n{"number": 1}\n')
    assert [line["number"] for line in read_json_lines(path)] == [0, 1]


def test_a_failed_append_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "log.jsonl"
    append_json_line(path, {"number": 0})
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match="No space left on device") as caught:
        append_json_line(path, {"number": 1})
    assert caught.value.source == str(path)
    assert path.read_bytes() == before


def test_append_into_a_missing_folder_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"log\.jsonl"):
        append_json_line(tmp_path / "nowhere" / "log.jsonl", {})
