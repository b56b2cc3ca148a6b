"""The argument by which a Slicer watches its own event loop; see `watcher.py`."""

from __future__ import annotations

from pathlib import Path

_WATCHER = str(Path(__file__).with_name("watcher.py"))
WATCH = ["--python-code", f"exec(compile(open({_WATCHER!r}).read(), {_WATCHER!r}, 'exec'))"]
