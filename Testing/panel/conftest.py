"""The panels on a desktop of our own: real Qt widgets off-screen, the real MRML scene, a real worker process."""

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
def _desktop_slicer(tmp_path_factory):
    pytest.importorskip("slicer", reason="slicer-core is not installed: pip install 'magpie-core[slicer]'")
    pytest.importorskip(
        "PySide6.QtWidgets", reason="PySide6 or a library of the system that it needs is not installed"
    )
    sys.path[:0] = [str(HERE), str(HERE.parent / "slicer"), str(REPOSITORY / "MagpieSegmentation")]
    from slicer_core_app import start_slicer

    return start_slicer(tmp_path_factory.mktemp("desktop"))


@pytest.fixture
def desktop(_desktop_slicer, monkeypatch) -> Iterator[Any]:
    """What the user was shown; `desktop.slicer` is Slicer with an empty scene."""
    import desktop as stage

    slicer = _desktop_slicer
    slicer.mrmlScene.Clear(0)
    before = set(sys.modules)
    shown = stage.install(slicer, monkeypatch)
    monkeypatch.setattr(slicer.app, "processEvents", lambda *flags: stage.application.processEvents())
    shown.slicer = slicer
    yield shown
    slicer.mrmlScene.Clear(0)
    for name in set(sys.modules) - before:
        if name.startswith("Magpie"):
            del sys.modules[name]


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    """A site of its own for each test."""
    monkeypatch.setenv("MAGPIE_SITE", str(tmp_path / "site"))
    return tmp_path / "site"


@pytest.fixture
def module(desktop, site) -> Iterator[Any]:
    """The module MagpieSegmentation, opened."""
    import desktop as stage

    widget = stage.open_module(desktop.slicer, REPOSITORY / "MagpieSegmentation" / "MagpieSegmentation.py")
    widget.panel._installLogic = _Complete()
    yield widget
    widget.cleanup()
    for selector in (
        widget.panel.ui.t1Selector,
        widget.panel.ui.t1ceSelector,
        widget.panel.ui.t2Selector,
        widget.panel.ui.flairSelector,
    ):
        selector.release()


@pytest.fixture
def wait() -> Callable[..., None]:
    """Runs Qt's events until something is so."""
    import desktop as stage

    def until(done: Callable[[], Any], timeout_s: float = 180) -> None:
        deadline = time.monotonic() + timeout_s
        while not done():
            assert time.monotonic() < deadline, "it takes too long"
            stage.application.processEvents()
            time.sleep(0.01)

    return until


class _Complete:
    """Nothing has to be installed."""

    def isComplete(self) -> bool:  # noqa: N802
        return True
