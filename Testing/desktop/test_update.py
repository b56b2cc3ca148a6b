"""The extension over an earlier version, and taken away again: nothing of it is left."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from install_tree import ROOT, install_extension

EARLIER = "d318f48"  # version 0.5.0


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """The install tree of version 0.5.0."""
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", "--format=tar", EARLIER], capture_output=True)
    if archive.returncode:
        pytest.skip(f"needs the history of the repository: {archive.stderr.decode()}")
    source, prefix = tmp_path / "source", tmp_path / "earlier"
    source.mkdir()
    subprocess.run(["tar", "-x", "-C", str(source)], input=archive.stdout, check=True)
    install_extension(tmp_path / "build", prefix, source)
    return prefix


def test_update_over_the_earlier_version_and_removal_leave_nothing_behind(start, earlier, tmp_path):
    home = tmp_path / "home"
    before = start(tree=earlier, home=str(home), checked=False)
    before.open_module("MAGPIE Glioma", "MagpieSegmentation")
    before.quit()

    user = start(home=str(home))
    for title, name in (("MAGPIE Training", "MagpieTraining"), ("MAGPIE Glioma", "MagpieSegmentation")):
        user.open_module(title, name)
        assert user.look("magpie_place('MagpieSegmentation', 'segmentButton')")["visible"] or name == "MagpieTraining"
    user.click("MagpieSegmentation", "sampleButton")
    user.wait_for("magpie_widget('MagpieSegmentation', 'segmentButton').enabled")
    user.quit()
    assert not [path for path in (home / "tmp").iterdir() if "magpie" in path.name.lower()]

    without = start(tree=None, complete=False, home=str(home))
    assert not without.look("[name for name in dir(slicer.modules) if 'magpie' in name]")
    without.quit()
    names = [path.relative_to(home).as_posix() for path in home.rglob("*") if "magpie" in path.name.lower()]
    assert not names
