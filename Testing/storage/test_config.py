"""Configurations: built strictly from plain values, and plain again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from magpie_core.storage.config import from_plain, read_mapping, to_plain


class Color(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Part:
    blocks: tuple[int, ...]
    noise: float = 0.5


@dataclass(frozen=True)
class Whole:
    name: str
    part: Part | None = None
    parts: Mapping[str, Part] = field(default_factory=dict)
    pair: tuple[float, float] = (0.0, 1.0)
    color: Color = Color.RED
    enabled: bool = True
    record: Mapping[str, Any] = field(default_factory=dict)


PLAIN = {
    "name": "whole",
    "part": {"blocks": [1, 2], "noise": 1},
    "parts": {"a": {"blocks": []}},
    "pair": [0.5, 2],
    "color": "blue",
    "enabled": False,
    "record": {"seeds": [1, 2]},
}


def test_nested_values_are_built_and_lists_become_tuples() -> None:
    built = from_plain(Whole, PLAIN)
    assert built == Whole("whole", Part((1, 2), 1), {"a": Part(())}, (0.5, 2), Color.BLUE, False, {"seeds": [1, 2]})
    assert from_plain(Whole, to_plain(built)) == built
    assert to_plain(built) == {**PLAIN, "parts": {"a": {"blocks": [], "noise": 0.5}}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nmae": 1, "b": 2}, "unknown: b, nmae"),
        ({"part": {"blocks": [], "nois": 1}}, r"unknown: part\.nois"),
        ({"part": {}}, r"missing: part\.blocks"),
        ({"part": 3}, "part must hold keys and values"),
        ({"parts": {"a": {"x": 1}}}, r"missing|unknown: parts\.a\.x"),
        ({"parts": [1]}, "parts must hold keys and values"),
        ({"part": {"blocks": 3}}, r"part\.blocks must be a list"),
        ({"part": {"blocks": [1, "2"]}}, r"part\.blocks\[1\] must be a whole number"),
        ({"part": {"blocks": [], "noise": "much"}}, r"part\.noise must be a number"),
        ({"pair": [1]}, "pair must have 2 items"),
        ({"color": "green"}, "color must be one of red, blue"),
        ({"enabled": 1}, "enabled must be true or false"),
    ],
)
def test_a_wrong_key_or_value_is_named_by_its_place(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_plain(Whole, {**PLAIN, **changes})


def test_values_that_are_no_mapping_are_refused() -> None:
    with pytest.raises(ValueError, match="the configuration must hold keys and values"):
        from_plain(Whole, [1])


def test_yaml_and_json_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: whole\nrate: 1.0e-3\n")
    (tmp_path / "a.json").write_text('{"rate": 1e-05}')
    (tmp_path / "empty.yaml").touch()
    assert read_mapping(tmp_path / "a.yaml") == {"name": "whole", "rate": 1e-3}
    assert read_mapping(tmp_path / "a.json") == {"rate": 1e-05}
    assert read_mapping(tmp_path / "empty.yaml") == {}


@pytest.mark.parametrize("payload", [b"a: [", b"\xff\xfe\xfa", b"- a", None])
def test_a_file_that_cannot_be_read_raises_a_value_error(payload: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    if payload is not None:
        path.write_bytes(payload)
    with pytest.raises(ValueError, match="."):
        read_mapping(path)


def test_from_plain_takes_the_first_type_of_a_union_that_fits():
    @dataclass(frozen=True)
    class Request:
        studies: Path | tuple[Path, ...]
        count: int | str = 0

    assert from_plain(Request, {"studies": "/archive"}).studies == Path("/archive")
    assert from_plain(Request, {"studies": ["/a", "/b"]}).studies == (Path("/a"), Path("/b"))
    assert from_plain(Request, {"studies": "/a", "count": "many"}).count == "many"
    with pytest.raises(ValueError, match="studies must be a list"):
        from_plain(Request, {"studies": 5})
