"""The panels on real Qt widgets off-screen, the real MRML scene, and a real worker process."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]


@pytest.fixture(scope="session")
def slicer_python() -> Path:
    """The folder of Slicer's own Python files."""
    sys.path[:0] = [str(HERE), str(HERE.parent / "slicer"), str(REPOSITORY / "MagpieSegmentation")]
    from slicer_sources import source_folder

    return source_folder()


@pytest.fixture(scope="session")
def _desktop_slicer(tmp_path_factory, slicer_python):
    pytest.importorskip("slicer", reason="slicer-core is not installed: pip install 'magpie-core[slicer]'")
    pytest.importorskip("PySide6.QtWidgets", reason="PySide6 or a library of the system that it needs is not installed")
    from slicer_core_app import start_slicer

    return start_slicer(tmp_path_factory.mktemp("desktop"))


@pytest.fixture
def desktop(_desktop_slicer, monkeypatch) -> Iterator[Any]:
    """Record of what was shown to the user; `desktop.slicer` is Slicer with an empty scene."""
    import desktop as stand_in

    slicer = _desktop_slicer
    slicer.mrmlScene.Clear(0)
    before = set(sys.modules)
    raised: list[Any] = []  # Qt goes on after an exception in what it calls
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: raised.append(error))
    shown = stand_in.install(slicer, monkeypatch)
    monkeypatch.setattr(slicer.app, "processEvents", lambda *flags: stand_in.application.processEvents())
    shown.slicer = slicer
    yield shown
    slicer.mrmlScene.Clear(0)
    for name in set(sys.modules) - before:
        if name.startswith("Magpie"):
            del sys.modules[name]
    assert not raised


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    """Folder of a new site for each test."""
    monkeypatch.setenv("MAGPIE_SITE", str(tmp_path / "site"))
    return tmp_path / "site"


@pytest.fixture
def module(desktop, site) -> Iterator[Any]:
    """The opened module MagpieSegmentation."""
    import desktop as stand_in

    widget = stand_in.open_module(desktop.slicer, REPOSITORY / "MagpieSegmentation" / "MagpieSegmentation.py")
    yield widget
    widget.cleanup()
    for name in ("t1", "t1ce", "t2", "flair"):
        getattr(widget.panel.ui, f"{name}Selector").release()


@pytest.fixture
def wait() -> Callable[..., None]:
    """Runs Qt's event loop until a condition holds."""
    import desktop as stand_in

    def until(done: Callable[[], Any], timeout_s: float = 180) -> None:
        deadline = time.monotonic() + timeout_s
        while not done():
            assert time.monotonic() < deadline, f"still not true after {timeout_s:.0f} s"
            stand_in.application.processEvents()
            time.sleep(0.01)

    return until
