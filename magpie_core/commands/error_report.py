"""Turns whatever goes wrong in a command into a message, a JSON document and an exit code."""

from __future__ import annotations

import functools
import logging
import signal
import sys
import traceback
from collections.abc import Callable
from typing import ParamSpec

import typer

from magpie_core.app.failure import FrontEnd, explain_failure
from magpie_core.commands.output import print_json, print_message
from magpie_core.errors import Cancelled, MagpieError

P = ParamSpec("P")
FRONT_END = FrontEnd(
    memory="Close other programs, do less at once (training: --batch-size 1), or use a computer with more memory",
    package="Install MAGPIE with all it needs: pip install 'magpie-core[torch,dicom]'",
    unexpected=f"Please report it with the output of: {' '.join(['magpie', '--debug', *sys.argv[1:]])}",
)


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
            failure = explain_failure(error, FRONT_END)
            if isinstance(failure, Cancelled):  # pressed again while Python ends, it would be a traceback
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            show_failure(failure, error)
            if kwargs.get("as_json"):
                print_json({"error": failure.as_dict()})
            raise typer.Exit(failure.exit_code) from None

    return run


def show_failure(failure: MagpieError, error: BaseException) -> None:
    """The message on stderr; the traceback only under --debug."""
    if logging.getLogger("magpie_core").isEnabledFor(logging.DEBUG):
        print_message("".join(traceback.format_exception(error)).rstrip())
    print_message(str(failure), error=not isinstance(failure, Cancelled))
