"""Configurations: from a file's plain values to a frozen dataclass and back, strictly."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file, or a JSON file if its name ends in .json, that holds keys and values; {} if it is empty.

    Raises:
        ValueError: If it cannot be read or is no mapping; the message is a cause to show to the user.
    """
    import yaml  # not in Slicer's own Python, which reads the list of versions without it

    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(str(error).splitlines()[0]) from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ValueError("the file must hold keys and values")
    return values


def from_plain(kind: type[T], values: Any, *, where: str = "") -> T:
    """Build a dataclass from plain values: dataclasses inside it, enumerations, and tuples from lists.

    Args:
        kind: The dataclass. Fields of type Any, and mappings to Any, keep their values as they are.
        values: A mapping of its fields' names; those with a default may be left out.
        where: Where the values stand in the file, before each key in messages: "network.".

    Raises:
        ValueError: If a key is unknown or missing, or a value is of the wrong type; the message names it by its full
            place.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{where.rstrip('.') or 'the configuration'} must hold keys and values")
    known = {item.name: item for item in fields(kind) if item.init}  # type: ignore[arg-type]
    unknown = sorted(f"{where}{key}" for key in values if key not in known)
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}")
    missing = [
        f"{where}{name}"
        for name, item in known.items()
        if name not in values and item.default is MISSING and item.default_factory is MISSING
    ]
    if missing:
        raise ValueError(f"missing: {', '.join(missing)}")
    hints = get_type_hints(kind)
    return kind(**{name: _convert(hints[name], value, f"{where}{name}") for name, value in values.items()})


def to_plain(value: Any) -> Any:
    """Return dataclasses and mappings as dictionaries, tuples as lists, enumerations as values, paths as text."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {to_plain(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return value


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in parts:
            return None
        return _convert_first([part for part in parts if part is not type(None)], value, where)
    if is_dataclass(hint):
        return from_plain(hint, value, where=f"{where}.")  # type: ignore[arg-type]
    if hint is Path:
        if not isinstance(value, (str, Path)) or not str(value):
            raise ValueError(f"{where} must be a path")
        return Path(value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        try:
            return hint(value)
        except ValueError:
            raise ValueError(f"{where} must be one of {', '.join(str(item.value) for item in hint)}") from None
    if origin is tuple:
        return _convert_items(parts, value, where)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} must hold keys and values")
        return {
            _convert(parts[0], key, where): _convert(parts[1], item, f"{where}.{key}") for key, item in value.items()
        }
    if hint in _SCALARS and (
        not isinstance(value, _SCALARS[hint][0]) or (isinstance(value, bool) and hint is not bool)
    ):
        raise ValueError(f"{where} must be {_SCALARS[hint][1]}")
    return value


def _convert_first(hints: list[Any], value: Any, where: str) -> Any:
    """Convert to the first of several types that takes the value."""
    for hint in hints[:-1]:
        with suppress(ValueError):
            return _convert(hint, value, where)
    return _convert(hints[-1], value, where)


def _convert_items(parts: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{where} must be a list")
    hints = [parts[0]] * len(value) if parts[1:] == (Ellipsis,) else list(parts)
    if len(hints) != len(value):
        raise ValueError(f"{where} must have {len(hints)} items")
    return tuple(
        _convert(hint, item, f"{where}[{place}]") for place, (hint, item) in enumerate(zip(hints, value, strict=True))
    )


_SCALARS: dict[Any, tuple[Any, str]] = {
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
    bool: (bool, "true or false"),
}
