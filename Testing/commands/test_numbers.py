"""Every number that a command takes has a range, and what lies outside is refused before anything is done."""

from __future__ import annotations

import math
from inspect import signature
from typing import get_args

import pytest
import typer

from magpie_core.cli import app


def _commands():
    for made in app.registered_commands:
        yield (made.name or made.callback.__name__,), made.callback
    for group in app.registered_groups:
        for made in group.typer_instance.registered_commands:
            yield (group.name, made.name or made.callback.__name__), made.callback


def _numbers():
    """The words of each command, and each of its numeric options with its name."""
    found = []
    for path, callback in _commands():
        for name, parameter in signature(callback, eval_str=True).parameters.items():
            kind, *extras = get_args(parameter.annotation) or (parameter.annotation,)
            option = next((extra for extra in extras if hasattr(extra, "param_decls")), None)
            parts = [part for part in get_args(kind) if part is not type(None)] or [kind]
            flat = [inner for part in parts for inner in (get_args(part) or (part,))]
            if option is not None and set(flat) <= {int, float}:
                found.append(pytest.param(path, option, name, id="-".join((*path, name))))
    return found


def test_there_are_numbers_to_check():
    assert len(_numbers()) > 40


@pytest.mark.parametrize(("path", "option", "name"), _numbers())
def test_every_number_has_a_range(path, option, name):
    least, most = (float(text) for text in option.metavar.split(".."))
    endless = name in ("minutes", "disk_gb") and path[0] in ("train", "dataset")
    for wrong in (math.nan, least - 1, (least, math.nan), *(() if endless else (math.inf, most + 1))):
        with pytest.raises(typer.BadParameter, match="is not a number from"):
            option.callback(wrong)
    assert option.callback(least) == least and option.callback(None) is None


_FINETUNE = ("finetune", "--cohort", "cohort", "-o", "run")


@pytest.mark.parametrize(
    "words",
    [(*_FINETUNE, name, value) for name, value in (
        ("--patience", -3), ("--synthetic-studies", -1), ("--minutes", 0), ("--minutes", "nan"), ("--minutes", "inf"),
        ("--folds", 1), ("--steps", -1), ("--seed", 2**64), ("--threads", -1), ("--interpolation", "nan"),
    )] + [
        ("synthesize", "-o", "out", "-n", 0), ("rank", "studies", "--random-fraction", "nan"),
        ("models", "publish", "a", "b", "--version", 2, "--summary", "x", "--thresholds", 0.5, "nan", 2),
    ],
)  # fmt: skip
def test_numbers_outside_their_range_are_refused(magpie, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = magpie(*words)
    assert result.exit_code == 2 and "is not a number from" in " ".join(result.output.split()), result.output
    assert not list(tmp_path.iterdir())
