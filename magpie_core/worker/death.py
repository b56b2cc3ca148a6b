"""Why a worker process ended: from its exit code, and from its log where a launcher hides the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from magpie_core.errors import MagpieError

# Exit codes: negative signals from Python, 128 + signal from a shell, NTSTATUS on Windows. What faulthandler and
# Slicer's launcher write is in lower case here; behind that launcher every exit code is 1.
_KILLED = ((-9, 137), ("exit abnormally",))
_ILLEGAL_INSTRUCTION = ((-4, 132, 0xC000001D), ("fatal python error: illegal instruction", "code 0xc000001d"))
_CRASHED = (
    (-6, -7, -8, -11, 134, 135, 136, 139, 0xC0000005, 0xC0000409),
    ("fatal python error", "windows fatal exception"),
)


def describe_death(exit_code: int, lines: Sequence[str], log: Path, *, killed_because: str = "") -> MagpieError:
    """Return the error that ends the jobs of a dead process.

    Args:
        exit_code: Its exit code.
        lines: The end of what it wrote to its log.
        log: The log.
        killed_because: Set if the panel itself ended it.
    """
    remedy = f"Try again. The log has the details: {log}"
    last_line = lines[-1] if lines else ""

    def is_sign(kind: tuple[Sequence[int], Sequence[str]]) -> str:
        """Return the line or the exit code that speaks for a kind of death; empty if none does."""
        codes, phrases = kind
        found = next((line for line in reversed(lines) if any(phrase in line.lower() for phrase in phrases)), "")
        return found or (f"exit code {exit_code}" if exit_code in codes else "")

    if killed_because:
        cause = killed_because
    elif is_sign(_ILLEGAL_INSTRUCTION):
        cause = "it used an instruction that this CPU does not have"
        remedy = "Install a PyTorch that is made for this CPU"
    elif sign := is_sign(_CRASHED):
        cause = f"a library crashed ({sign})"
    elif is_sign(_KILLED):
        cause = "it was killed from outside (signal 9), most often because the memory ran out"
        remedy = f"Close other programs and try again. The log has the details: {log}"
    elif "No module named" in last_line:
        cause, remedy = last_line, "Install MAGPIE's Python packages, then try again"
    else:
        cause = f"exit code {exit_code}" + (f", {last_line}" if last_line else "")
    return MagpieError("MAGPIE's background process ended unexpectedly", cause=cause, remedy=remedy)
