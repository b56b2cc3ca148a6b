"""A desktop Slicer on a display of its own, with the extension as installed, if the machine has one."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from install_tree import MODULES, SITE, install_extension

sys.path.insert(0, str(Path(__file__).parent))
from user import User  # noqa: E402

# Printed by this Slicer at every start, whatever is installed; and by Qt when a dialog is closed under the mouse.
_SLICERS_OWN = ("vtkMRMLThreeDSliceEdgeDisplayableManager", "CropVolume", "Crop Volume", "QXcbConnection: XCB error")


@pytest.fixture(scope="session")
def driver() -> Any:
    """The class that starts a desktop Slicer: an official one if SLICER_EXECUTABLE names its launcher."""
    if executable := os.environ.get("SLICER_EXECUTABLE"):
        from launched_slicer import LaunchedSlicer

        return partial(LaunchedSlicer, executable)
    folder = os.environ.get("MAGPIE_DESKTOP_SLICER", "")
    if not (Path(folder) / "desktop_slicer.py").is_file():
        pytest.skip("needs a desktop Slicer: set SLICER_EXECUTABLE to the launcher of an official one")
    sys.path.insert(0, folder)
    from desktop_slicer import DesktopSlicer

    return DesktopSlicer


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The install tree; its version ends in "+installed", so that a report tells which package made it."""
    prefix = tmp_path_factory.mktemp("extension")
    install_extension(tmp_path_factory.mktemp("build"), prefix)
    init = prefix / SITE / "magpie_core" / "__init__.py"
    text, count = re.subn(r'^(__version__ = "[^"]+)"', r'\1+installed"', init.read_text(), flags=re.MULTILINE)
    assert count == 1
    init.write_text(text)
    return prefix


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the panel's button installs: the packages of this Python, without magpie_core."""
    folder = tmp_path_factory.mktemp("packages")
    for path in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "magpie" not in path.name.lower() and path.suffix != ".pth":
            (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture
def start(
    driver: Any, installed: Path, packages: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., User]]:
    """Starts a desktop Slicer in a fresh profile, and returns its user.

    `complete`: whether Slicer's Python has all packages. `worker_python`: the Python of PythonSlicer. Further options
    are those of the driver. `tree` is the install tree, None for no extension. At the end the log must hold no
    traceback and no error (`checked=False` leaves that out), and no process may be left.
    """
    running: list[Any] = []
    unchecked: list[Any] = []

    def start(
        *,
        complete: bool = True,
        worker_python: str | None = None,
        tree: Path | None = installed,
        checked: bool = True,
        **options: Any,
    ) -> User:
        own = [str(tree / SITE)] if tree else []
        site = own + ([str(packages)] if complete else []) + options.pop("site", [])
        modules = ([str(tree / MODULES)] if tree else []) + options.pop("modules", [])
        environment = {"MAGPIE_SITE": str(tmp_path / "site"), "MAGPIE_DEFAULT_MODEL": "magpie-s"}
        environment |= options.pop("extra_env", {})
        if "SLICER_EXECUTABLE" in os.environ:
            site.remove(str(packages)) if complete else None
        else:
            options["worker_python"] = worker_python or (_slicers_python(tmp_path, tree) if complete and tree else None)
        application = driver(modules=modules, site=site, extra_env=environment, **options)
        application.start()
        (running if checked else unchecked).append(application)
        if complete and not application.value("__import__('importlib.util').util.find_spec('torch') is not None"):
            pytest.skip("needs a Slicer with MAGPIE's packages installed")
        return User(application, _pictures(request))

    yield start
    failed = getattr(request.node, "failed", False)
    for application in [*running, *unchecked]:
        if failed and application.alive:
            picture = User(application, _pictures(request)).picture("failure")
            request.node.add_report_section("teardown", "picture", str(picture))
        application.stop()
    if failed:
        for application in running:
            request.node.add_report_section("teardown", "log of Slicer", application.log[-5000:])
        return
    for application in running:
        assert not application.leftovers
        check_log(application.log)


@pytest.fixture
def user(start: Callable[..., User]) -> User:
    """The user of a fresh Slicer with all packages."""
    return start()


def check_log(log: str) -> None:
    """Raise AssertionError if Slicer's log holds a traceback or an error."""
    lines = [line for line in log.splitlines() if "Traceback" in line or "error" in line.lower()]
    bad = [line for line in lines if not any(own in line for own in _SLICERS_OWN)]
    assert not bad, log


def _slicers_python(folder: Path, tree: Path) -> str:
    """A Python that sees the extension's packages first, as PythonSlicer does; the driver's has a cleared path."""
    script = folder / "PythonSlicer"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{tree / SITE}" exec "{sys.executable}" "$@"\n')
    script.chmod(0o755)
    return str(script)


def _pictures(request: pytest.FixtureRequest) -> Path:
    folder = os.environ.get("MAGPIE_PICTURES") or str(Path(__file__).resolve().parents[2] / ".desktop-pictures")
    return Path(folder) / re.sub(r"\W+", "-", request.node.name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Let fixtures know whether their test failed."""
    report = yield
    if report.when == "call" and report.failed:
        item.failed = True  # type: ignore[attr-defined]
    return report
