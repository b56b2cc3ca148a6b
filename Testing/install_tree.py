"""The extension as CMake installs it, with a stand-in for Slicer's build tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FAKE_SLICER = ROOT / "Testing" / "packaging" / "fake_slicer"
MODULES = "lib/Slicer-5.12/qt-scripted-modules"
SITE = "lib/Python/lib/python3.12/site-packages"


def install_extension(build: Path, prefix: Path, source: Path = ROOT) -> None:
    """Configure, build and install the extension; skips the test where a tool is missing."""
    # That of this Python's environment first: the system's may be older than Slicer's template wants.
    cmake = shutil.which("cmake", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if cmake is None or shutil.which("c++") is None or shutil.which("make") is None:
        pytest.skip("needs cmake, make and a C++ compiler")
    configure = [cmake, "-S", str(source), "-B", str(build), f"-DSlicer_DIR={FAKE_SLICER}", "-DBUILD_TESTING=ON"]
    for command in (
        [*configure, "-G", "Unix Makefiles", f"-DCMAKE_INSTALL_PREFIX={prefix}"],
        [cmake, "--build", str(build)],
        [cmake, "--install", str(build)],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
