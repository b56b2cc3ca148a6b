"""Where words go: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
from typing import Any

import typer


def print_message(message: str, *, error: bool = False) -> None:
    """A message for the person at the terminal (stderr)."""
    prefix = typer.style("Error: ", fg=typer.colors.RED, bold=True) if error else ""
    typer.echo(prefix + message, err=True)


def print_model(name: str | None, *, as_json: bool) -> dict[str, str]:
    """Say which model is used and under which license (stderr), unless the JSON document will; return both for it.

    Raises:
        ModelError: If there is no such model.
    """
    from magpie_core.models.registry import describe_model, is_noncommercial

    model = describe_model(name)
    if not as_json:
        use = ": research only, no commercial use" if is_noncommercial(model["license"]) else ""
        print_message(f"Model {model['name']}, license of its weights {model['license']}{use}")
    return model


def print_line(message: str = "") -> None:
    """A line of the result (stdout)."""
    typer.echo(printable(message))


def print_json(document: Any) -> None:
    """The one JSON document of a command run with --json (stdout)."""
    typer.echo(printable(json.dumps(document, indent=2, ensure_ascii=False, default=str)))


def printable(words: str) -> str:
    """What is no text in the names of files spelled out, such as \\udcfc (which JSON reads back)."""
    return words.encode(errors="backslashreplace").decode()
