"""Any error as a failure with a cause, and a remedy that exists in the front end that shows it."""

from __future__ import annotations

from dataclasses import dataclass

from magpie_core.errors import Cancelled, MagpieError, ResourceError


@dataclass(frozen=True)
class FrontEnd:
    """The remedies of a front end.

    Attributes:
        memory, package, unexpected: What to do if memory runs out, if a Python package is missing, and if something
            unexpected happens.
    """

    memory: str = "Close other programs, then try again"
    package: str = "Install MAGPIE's Python packages, then try again"
    unexpected: str = "Please report it with the log"


def explain_failure(error: BaseException, front_end: FrontEnd) -> MagpieError:
    """Return the error as the user should read it; a MagpieError is one already."""
    if isinstance(error, MagpieError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Cancelled("Cancelled", cause="nothing unfinished was left behind")
    # Torch raises a class of its own for a GPU, and a RuntimeError for the CPU.
    of_torch = type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error)
    if isinstance(error, MemoryError) or of_torch:
        return ResourceError("Memory ran out", remedy=front_end.memory)
    if isinstance(error, ImportError) and error.name and not error.name.startswith("magpie_core"):
        return ResourceError(f"The Python package {error.name!r} is missing", remedy=front_end.package)
    return MagpieError(
        "Something unexpected went wrong",
        cause=f"{type(error).__name__}: {error}".splitlines()[0],
        remedy=f"This is a fault of MAGPIE, not of your data. {front_end.unexpected}",
    )
