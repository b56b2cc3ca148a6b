"""A desktop Slicer on a display of its own, if the machine has one."""

from __future__ import annotations

import os
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def slicer() -> Iterator[Any]:
    """A desktop Slicer with both modules and a fresh profile; the worker runs in this Python."""
    folder = os.environ.get("MAGPIE_DESKTOP_SLICER", "")
    if not (Path(folder) / "desktop_slicer.py").is_file():
        pytest.skip("needs a desktop Slicer: set MAGPIE_DESKTOP_SLICER to the folder of its driver desktop_slicer.py")
    sys.path.insert(0, folder)
    from desktop_slicer import DesktopSlicer

    with DesktopSlicer(
        modules=[str(REPOSITORY / name) for name in ("MagpieSegmentation", "MagpieTraining")],
        site=[sysconfig.get_paths()["purelib"]],
        worker_python=sys.executable,
    ) as application:
        yield application
    assert not application.leftovers


@pytest.fixture
def click(slicer: Any) -> Callable[[str, str], None]:
    """Clicks a visible, enabled button of a module by its name, with the mouse."""

    def click(module: str, name: str) -> None:
        slicer.exec(
            f"button = slicer.util.findChild(slicer.modules.{module.lower()}.widgetRepresentation(), {name!r})\n"
            "assert button.visible and button.enabled, (button.visible, button.enabled, button.toolTip)\n"
            "import qt; qt.QTimer.singleShot(0, button.click)"
        )

    return click


@pytest.fixture
def wait_for(slicer: Any) -> Callable[..., None]:
    """Waits until an expression is true in Slicer."""

    def wait(expression: str, timeout_s: float = 240) -> None:
        deadline = time.monotonic() + timeout_s
        while not slicer.value(f"bool({expression})"):
            assert time.monotonic() < deadline, f"{expression} is not true after {timeout_s:.0f} s\n{slicer.log}"
            time.sleep(0.5)

    return wait


@pytest.fixture(autouse=True)
def clean_log(slicer: Any) -> Iterator[None]:
    """Checks after each test that Slicer's log has neither tracebacks nor errors."""
    yield
    lines = [line for line in slicer.log.splitlines() if "Traceback" in line or "error" in line.lower()]
    assert not lines, slicer.log
