"""Turns whatever goes wrong in a command into a message, a JSON document and an exit code."""

from __future__ import annotations

import functools
import logging
import sys
import traceback
from collections.abc import Callable
from typing import ParamSpec

import typer

from magpie_core.commands.output import emit_json, say
from magpie_core.errors import Cancelled, MagpieError, ResourceError

P = ParamSpec("P")


def reported(command: Callable[P, None]) -> Callable[P, None]:
    """Wrap a command so that no traceback reaches the user (unless `magpie --debug`).

    A MagpieError ends the program with its own exit code, Ctrl-C with 130, lack of memory with 5, anything
    else with 1. Where the command has a true `as_json`, {"error": ...} goes to stdout too.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
            raise
        except BaseException as error:
            if isinstance(error, (SystemExit, GeneratorExit)):
                raise
            fault = as_fault(error)
            show_fault(fault, error)
            if kwargs.get("as_json"):
                emit_json({"error": fault.as_dict()})
            raise typer.Exit(fault.exit_code) from None

    return run


def as_fault(error: BaseException) -> MagpieError:
    """The error as the user should hear of it."""
    if isinstance(error, MagpieError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Cancelled("Cancelled", cause="nothing unfinished was left behind")
    if isinstance(error, MemoryError) or _is_of_memory(error):
        return ResourceError(
            "Memory ran out",
            remedy="Close other programs, do less at once (training: --boxes 1), or use a computer with more memory",
        )
    if isinstance(error, ImportError) and error.name and not error.name.startswith("magpie_core"):
        return ResourceError(
            f"The Python package {error.name!r} is missing",
            remedy="Install MAGPIE with all it needs: pip install 'magpie-core[synthesis,dicom]'",
        )
    again = " ".join(["magpie", "--debug", *sys.argv[1:]])
    return MagpieError(
        f"Something unexpected went wrong ({type(error).__name__}: {str(error).strip()})",
        cause="This is a fault of MAGPIE, not of your data",
        remedy=f"Please report it with the output of: {again}",
    )


def _is_of_memory(error: BaseException) -> bool:
    """Whether torch says so: of a graphics card by a class of its own, of the processor in a RuntimeError."""
    return type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error)


def show_fault(fault: MagpieError, error: BaseException) -> None:
    """The message on stderr; the traceback only under --debug."""
    if logging.getLogger("magpie_core").isEnabledFor(logging.DEBUG):
        say("".join(traceback.format_exception(error)).rstrip())
    say(str(fault), error=not isinstance(fault, Cancelled))
