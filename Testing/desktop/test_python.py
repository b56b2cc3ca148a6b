"""Slicer without the packages of MAGPIE: what is missing is said and offered, or the worker runs in another Python."""

from __future__ import annotations

import os
import sys
import sysconfig
import time
from pathlib import Path

import psutil
import pytest

_MODULE = "MagpieSegmentation"
_PORT = "slicer.modules.MagpieSegmentationWidget.logic.port"
_SEGMENTS = "slicer.util.getNodesByClass('vtkMRMLSegmentationNode')"

# The PyTorch extension as far as MAGPIE uses it: it asks before it installs.
_EXTENSION = """
import slicer
class PyTorchUtilsLogic:
    def installTorch(self, askConfirmation=False, torchVersionRequirement=None):
        slicer.util.confirmOkCancelDisplay("PyTorch will be downloaded and installed")
        return None
"""


def _text(user, name):
    return user.text(_MODULE, name)


def _choose_python(user, entry, path):
    user.choose(_MODULE, "pythonSelector", entry)
    user.dialog()
    user.type_text(str(path))
    user.key("Return")


def _gone(*pids, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids):
        assert time.monotonic() < deadline, "a process is left"
        time.sleep(0.2)


def test_a_fresh_slicer_says_what_is_missing_and_offers_to_install_it(start, tmp_path):
    (tmp_path / "PyTorchUtils.py").write_text(_EXTENSION, encoding="utf-8")
    user = start(complete=False, site=[str(tmp_path)])
    user.open_module("MAGPIE Training", "MagpieTraining")
    assert "monai" in user.text("MagpieTraining", "packagesLabel")
    assert user.place("MagpieTraining", "installButton")["enabled"]
    user.open_module("MAGPIE Glioma", _MODULE)
    for name in ("PyTorch", "monai", "nibabel"):
        assert name in _text(user, "packagesLabel")
    user.picture("fresh")
    assert "up to several gigabytes; asks before" in user.place(_MODULE, "sampleButton")["toolTip"]
    for button in ("installButton", "sampleButton"):
        user.click(_MODULE, button)
        assert "PyTorch will be downloaded" in user.answer("Cancel", 60)["text"]
        user.wait_for("slicer.app.activeModalWidget() is None", 5)
    user.wait_for(f"magpie_widget({_MODULE!r}, 'statusLabel').text == 'Nothing was installed.'", 10)
    assert user.place(_MODULE, "installButton")["visible"]


@pytest.mark.timeout(600)
def test_the_worker_runs_in_a_python_of_the_user_and_dies_with_slicer(start):
    user = start(complete=False)
    user.open_module("MAGPIE Glioma", _MODULE)
    user.click_edge(_MODULE, "computerSection")
    user.reach(_MODULE, "checkButton")
    user.picture("slicers-own")
    _choose_python(user, "Another Python", sys.executable)
    user.wait_for(f"magpie_widget({_MODULE!r}, 'pythonLabel').text == {sys.executable!r}", 120)
    user.wait_for(f"'Python packages' not in magpie_widget({_MODULE!r}, 'statusLabel').text", 60)
    user.click(_MODULE, "checkButton")
    user.wait_for(f"'PyTorch' in magpie_widget({_MODULE!r}, 'checkLabel').text", 120)
    user.picture("another-python")

    worker = psutil.Process(user.look(f"{_PORT}.pid"))
    slicer, folder = worker.ppid(), Path(user.look(f"str({_PORT}.folder)"))
    assert worker.cmdline()[0] == sys.executable
    environment = worker.environ()
    assert "desktopslicer" not in environment.get("PYTHONPATH", "") + environment.get("LD_LIBRARY_PATH", "")

    user.click(_MODULE, "sampleButton")
    user.wait_for(f"magpie_widget({_MODULE!r}, 'segmentButton').enabled")
    user.click(_MODULE, "segmentButton")
    user.wait_for(f"{_SEGMENTS} and not magpie_widget({_MODULE!r}, 'cancelButton').enabled")
    assert '+installed"' in user.look(f"{_SEGMENTS}[0].GetAttribute('MAGPIE.report')")

    user.click(_MODULE, "segmentButton")
    assert folder.is_dir()
    os.kill(slicer, 9)
    _gone(slicer, worker.pid)
    assert not folder.exists()


def test_an_environment_of_magpie_is_made_and_its_packages_are_asked_for(start, tmp_path):
    user = start(complete=False)
    user.open_module("MAGPIE Glioma", _MODULE)
    user.click_edge(_MODULE, "computerSection")
    _choose_python(user, "An environment of MAGPIE", sysconfig.get_config_var("prefix"))
    user.type_text("/bin/python3")
    user.key("Return")
    user.wait_for("'downloaded' in (magpie_dialog() or {'text': ''})['text']")
    question = user.answer("Cancel")["text"]
    assert "several gigabytes" in question and str(tmp_path / "site" / "python") in question
    user.wait_for(f"'Nothing was installed' in magpie_widget({_MODULE!r}, 'checkLabel').text", 10)
    assert "SimpleITK" in _text(user, "packagesLabel")
    assert _text(user, "pythonLabel") == str(tmp_path / "site" / "python" / "bin" / "python")
    assert user.place(_MODULE, "installLogButton")["visible"]
    user.picture("environment")
    user.choose(_MODULE, "pythonSelector", "Slicer's own")
    user.wait_for(f"not magpie_widget({_MODULE!r}, 'pythonLabel').visible", 60)
