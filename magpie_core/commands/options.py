"""Options of the commands; those that a request of `magpie_core.app` has come from its fields, with their texts."""

from __future__ import annotations

import getpass
import math
import re
from collections.abc import Callable
from dataclasses import MISSING, fields
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from magpie_core.app.requests import ComputeRequest
from magpie_core.app.sample import SampleRequest
from magpie_core.app.segment import SegmentRequest
from magpie_core.imaging.modality import Modality
from magpie_core.storage.ranges import Range, range_of

FILES_NEED_NO_ORDER = "--order and --series are for folders; the modality of each file is known already."
C = TypeVar("C", bound=Callable[..., None])


def user_name() -> str:
    """Return the user's name, for logs."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def read_series(texts: list[str] | None) -> dict[Modality, int | None]:
    """Read "T1CE=5" as {T1CE: 5}, "T1=none" as {T1: None} (typer.BadParameter if a text is not of that form)."""
    chosen: dict[Modality, int | None] = {}
    for text in texts or []:
        name, _, number = text.partition("=")
        if name.upper() not in Modality.__members__ or not (number.isdigit() or number == "none"):
            raise typer.BadParameter(f"--series is a modality and a number, such as T1CE=5 or T1=none, not {text!r}.")
        chosen[Modality[name.upper()]] = None if number == "none" else int(number)
    return chosen


def _device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|gpu|mps|cuda(:\d+)?", value):
        raise typer.BadParameter("use auto, cpu, gpu, cuda, cuda:N or mps")
    return value


def ranged(allowed: Range) -> dict[str, Any]:
    """Return what `typer.Option` needs to refuse numbers outside a range, also NaN and those of a tuple."""

    def check(value: Any) -> Any:
        for number in value if isinstance(value, (tuple, list)) else (value,):
            if number is not None and (math.isnan(number) or number not in allowed):
                raise typer.BadParameter(f"{number} is not {allowed}.")
        return value

    return {"metavar": f"{allowed.least:.10g}..{allowed.most:.10g}", "callback": check}


def study_images(
    studies: list[Path], series: list[str] | None, *, order: str | None = None, **files: Path | None
) -> Path | dict[Modality, Path]:
    """Return the folder of one study, or the files that are given in its place (`t1`, `t1ce`, `t2`, `flair`).

    Raises:
        typer.BadParameter: If neither is given or both are, or what holds for folders is given with files.
    """
    given = {Modality[name.upper()]: path for name, path in files.items() if path is not None}
    if len(studies) > 1 or bool(studies) == bool(given):
        raise typer.BadParameter("Give either STUDY, one folder, or files (--t1, --t1ce, --t2, --flair).")
    if given and (order or series):
        raise typer.BadParameter(FILES_NEED_NO_ORDER)
    return given or studies[0]


_ARGUMENTS = ("worklist", "predictions", "references")
_FLAGS = dict.fromkeys(("output", "run"), ("--out", "-o"))
_LIMITS: dict[str, dict[str, Any]] = {"anatomy": {"envvar": "MAGPIE_ANATOMY"}, "device": {"callback": _device}}


def option_of(request: type, name: str, **limits: Any) -> Any:
    """Return the option, or the argument, for a field of a request; the field's text is its help."""
    hint = get_type_hints(request, include_extras=True)[name]
    text, allowed = hint.__metadata__[0], range_of(hint)
    if name in _ARGUMENTS:
        return typer.Argument(help=text)
    flags = _FLAGS.get(name, (f"--{name.replace('_', '-')}",))
    return typer.Option(*flags, help=text, **(limits or (ranged(allowed) if allowed else _LIMITS.get(name, {}))))


def options_of(request: type, **limits: dict[str, Any]) -> Callable[[C], C]:
    """Give a command, in place of its `**options`, an option for each field of a request that has a text.

    A field that the command has a parameter for is left out.

    Args:
        limits: For a field, limits to use instead of the usual ones.
    """

    def decorate(command: C) -> C:
        own = signature(command, eval_str=True).parameters
        hints = get_type_hints(request, include_extras=True)
        made = [
            Parameter(
                item.name,
                Parameter.KEYWORD_ONLY,
                default=Parameter.empty if item.default is MISSING else item.default,
                annotation=Annotated[
                    hints[item.name].__origin__, option_of(request, item.name, **limits.get(item.name, {}))
                ],
            )
            for item in fields(request)
            if item.name not in own and hasattr(hints[item.name], "__metadata__")
        ]
        kept = [
            parameter.replace(kind=Parameter.KEYWORD_ONLY)
            for parameter in own.values()
            if parameter.kind is not Parameter.VAR_KEYWORD
        ]
        ordered = sorted([*kept, *made], key=lambda parameter: parameter.name == "as_json")
        command.__signature__ = Signature(ordered)  # type: ignore[attr-defined]
        return command

    return decorate


File = Annotated[Path | None, typer.Option(help="File of this modality, instead of STUDY.")]
Series = Annotated[
    list[str] | None,
    typer.Option("--series", help="DICOM series to use for a modality, such as T1CE=5, or T1=none; may be repeated."),
]
ModelName = Annotated[str | None, option_of(ComputeRequest, "model")]
DeviceName = Annotated[str, option_of(ComputeRequest, "device")]
Threads = Annotated[int | None, option_of(ComputeRequest, "threads")]
Overwrite = Annotated[bool, option_of(SegmentRequest, "overwrite")]
Anatomy = Annotated[Path | None, option_of(SampleRequest, "anatomy")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
