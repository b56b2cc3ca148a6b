"""Why a worker process died, in words for the one who pressed the button."""

from __future__ import annotations

from pathlib import Path

from magpie_core.errors import MagpieError

# Exit codes: negative signals from Python, 128 + signal from a launcher, NTSTATUS on Windows.
_KILLED = (-9, 137)
_ILLEGAL_INSTRUCTION = (-4, 132, 0xC000001D)
_CRASHED = (-6, -7, -8, -11, 134, 135, 136, 139, 0xC0000005, 0xC0000409)


def describe_worker_failure(exit_code: int, last_line: str, log: Path, *, killed_because: str = "") -> MagpieError:
    """The error that ends the jobs of a dead process.

    Args:
        exit_code: As `subprocess` tells it.
        last_line: The last line of its log.
        log: Where more is written.
        killed_because: Set if the panel itself ended it.
    """
    remedy = f"Try again. The log has the details: {log}"
    if killed_because:
        cause = killed_because
    elif exit_code in _KILLED:
        cause = "it was killed from outside (signal 9), most often because the memory ran out"
        remedy = f"Close other programs and try again. The log has the details: {log}"
    elif exit_code in _ILLEGAL_INSTRUCTION:
        cause = "it used an instruction that this processor does not have"
        remedy = "Install a PyTorch that is made for this processor"
    elif exit_code in _CRASHED:
        cause = f"a library crashed (exit code {exit_code})"
    elif "No module named" in last_line:
        cause, remedy = last_line, "Install MAGPIE's Python packages, then try again"
    else:
        cause = f"exit code {exit_code}" + (f", {last_line}" if last_line else "")
    return MagpieError("MAGPIE's background process ended unexpectedly", cause=cause, remedy=remedy)
