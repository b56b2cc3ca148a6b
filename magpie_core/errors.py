"""Errors with cause and remedy: one base class, and a class for each exit code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar


class MagpieError(Exception):
    """A failure with its source, cause and remedy.

    Args:
        what: What happened, one clause without the final period.
        cause: Why, if it is known.
        remedy: What the user can do.
        source: The file, folder or modality concerned.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, cause: str = "", remedy: str = "", source: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.cause = cause
        self.remedy = remedy
        self.source = source

    def __str__(self) -> str:
        sentences = " ".join(_sentence(part) for part in (self.what, self.cause, self.remedy) if part)
        return f"{self.source}: {sentences}" if self.source else sentences

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: kind, what, cause, remedy, source."""
        return {
            "kind": type(self).__name__,
            "what": self.what,
            "cause": self.cause,
            "remedy": self.remedy,
            "source": self.source,
        }


class InputError(MagpieError):
    """A file, study or segmentation cannot be used as it is."""

    exit_code = 3


class ConfirmationNeeded(InputError):  # noqa: N818
    """What was given may be meant or a slip: only the user can tell.

    Args:
        questions: What it is, a clause or sentence, by the name of the request's field that says yes: `allow_empty`.
        source: The file, folder or modality concerned.
    """

    def __init__(self, questions: Mapping[str, str], *, source: str = "") -> None:
        options = " ".join(f"--{name.replace('_', '-')}" for name in questions)
        super().__init__(
            " ".join(_sentence(text) for text in questions.values()),
            remedy=f"Correct the segmentation; or, if this is meant, say so (magpie cohort add, import: {options})",
            source=source,
        )
        self.questions = dict(questions)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: those of every error, and the questions."""
        return {**super().as_dict(), "questions": self.questions}


class ModelError(MagpieError):
    """A model is missing, altered, or does not fit the task."""

    exit_code = 4


class ResourceError(MagpieError):
    """Memory, disk space or an optional package is missing."""

    exit_code = 5


class Cancelled(MagpieError):  # noqa: N818
    """The user cancelled the job."""

    exit_code = 130

    def __init__(self, what: str = "Cancelled", *, cause: str = "", remedy: str = "", source: str = "") -> None:
        super().__init__(what, cause=cause, remedy=remedy, source=source)


@contextmanager
def errors_about(source: str | Path) -> Iterator[None]:
    """Add the file, folder or modality concerned to an error from the block that names none."""
    try:
        yield
    except MagpieError as error:
        error.source = error.source or str(source)
        raise


@contextmanager
def read_errors(source: str | Path, problem: str = "Cannot read the file") -> Iterator[None]:
    """Raise InputError with `problem` and the path where the block fails with OSError."""
    try:
        yield
    except OSError as error:
        raise InputError(
            problem,
            cause=error.strerror or str(error),
            remedy="Check that you may read it and that its disk is connected",
            source=str(error.filename or source),
        ) from error


def _sentence(text: str) -> str:
    text = text.strip()
    first = text.split(maxsplit=1)[0]
    if first.isalpha() and first.islower():  # never a file name
        text = text[0].upper() + text[1:]
    return text if text[-1:] in ".!?" else text + "."
