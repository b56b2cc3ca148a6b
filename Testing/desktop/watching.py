"""The argument by which a Slicer watches its own event loop, and what it saw; see `watcher.py`."""

from __future__ import annotations

import logging
from pathlib import Path

from user import User

_WATCHER = str(Path(__file__).with_name("watcher.py"))
WATCH = ["--python-code", f"exec(compile(open({_WATCHER!r}).read(), {_WATCHER!r}, 'exec'))"]

# A busy machine computes more slowly, too: these are twice the limits that hold on an idle one.
RESULT_S, CALLBACK_S = 4.0, 0.2

logger = logging.getLogger(__name__)


def turns(user: User) -> int:
    """How many turns of the event loop were watched so far."""
    count: int = user.look("len(slicer.magpie_gaps)")
    return count


def computed_since(user: User, first: int, what: str) -> list[float]:
    """Seconds that the main thread computed in each turn of the event loop since then, the longest first; logged."""
    gaps = user.look(f"slicer.magpie_gaps[{first}:]")
    computed = sorted((seconds for _, seconds in gaps), reverse=True)
    shown = ", ".join(f"{seconds:.3f}" for seconds in computed[:4])
    logger.info(f"{what}: longest turn {max(gap for gap, _ in gaps):.2f} s, computing {shown} s")
    return computed
