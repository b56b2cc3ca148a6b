"""The worker runs in Slicer's Python, in one that the user names, or in an environment that MAGPIE makes."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

import pytest

from magpie_core.errors import Cancelled, ResourceError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def setting(slicer, monkeypatch, tmp_path):
    """PythonSetting of a Slicer whose own variables must not reach another Python."""
    from MagpieSegmentationLib import InstallLogic as module
    from MagpieSegmentationLib.PythonSetting import PythonSetting

    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    monkeypatch.setattr(slicer.util, "startupEnvironment", lambda: clean, raising=False)
    poison = tmp_path / "of-slicer"
    poison.mkdir()
    (poison / "torch.py").write_text("raise ImportError('the torch of Slicer')", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(poison))
    monkeypatch.setattr(module, "_reports", {})
    yield PythonSetting
    PythonSetting.choose("")


@pytest.fixture
def make_logic(setting, tmp_path):
    from MagpieSegmentationLib.InstallLogic import InstallLogic
    from MagpieSegmentationLib.PythonEnvironment import PythonEnvironment

    def make(requirement="pyyaml"):
        (tmp_path / "requirements.txt").write_text(requirement, encoding="utf-8")
        return InstallLogic(tmp_path / "requirements.txt", PythonEnvironment(tmp_path / "site" / "python"))

    return make


@pytest.fixture
def wheels(tmp_path):
    """A folder of tiny wheels under the names of what the worker needs."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    torch = "class ones(int):\n    def sum(self):\n        return self\n"
    for name, version, code in (
        ("torch", "2.9.0", torch),
        ("numpy", "2.4.6", ""),
        ("scipy", "1.17.1", ""),
        ("SimpleITK", "2.5.5", ""),
        ("PyYAML", "6.0.3", ""),
    ):
        with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            info = f"{name}-{version}.dist-info"
            wheel.writestr(f"{name.lower()}/__init__.py", code)
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            wheel.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr(f"{info}/RECORD", "")
    return folder


@pytest.fixture
def dialog(monkeypatch):
    """Qt's progress dialog, which the user may cancel."""
    import types

    class QProgressDialog:
        wasCanceled = False  # noqa: N815

        def __init__(self, *_):
            pass

        def show(self):
            pass

        close = deleteLater = show  # noqa: N815

    monkeypatch.setitem(sys.modules, "qt", types.SimpleNamespace(QProgressDialog=QProgressDialog))
    import slicer.util

    monkeypatch.setattr(slicer.util, "mainWindow", lambda: None, raising=False)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, **options: True, raising=False)
    return QProgressDialog


def test_the_worker_runs_in_the_chosen_python_from_the_next_job_on(setting, make_python):
    from MagpieSegmentationLib.WorkerPort import WorkerPort

    port = WorkerPort()
    assert port.folder and setting.command() == [sys.executable] and setting.environment() is None
    python = make_python()
    setting.choose(python)
    messages = []
    port.submit({"kind": "describe_computer"}, messages.append)
    command = Path(f"/proc/{port.pid}/environ").read_bytes() if sys.platform == "linux" else b""
    while not any(message["type"] in ("result", "error") for message in messages):
        port.poll()
    port.close()
    assert messages[-1]["type"] == "result", messages[-1]
    assert b"of-slicer" not in command


def test_another_python_does_not_see_the_packages_of_slicer_and_is_not_changed(setting, make_logic):
    logic = make_logic()
    setting.choose(sys.executable)
    assert logic.problem() == "", "a Python that was not run is taken for complete"
    logic.ensure()
    assert logic.isComplete() and not logic.isBroken()
    logic = make_logic("a-package-that-is-not-there>=1")
    with pytest.raises(ResourceError) as caught:
        logic.install()
    assert "lacks a-package-that-is-not-there" in caught.value.cause
    assert "an environment that MAGPIE makes" in caught.value.remedy
    assert not logic.canInstall() and "a-package-that-is-not-there" in logic.problem()


@pytest.mark.skipif(os.name != "posix", reason="written for a shell")
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo I am no Python", "I am no Python"),
        ("exit 3", "it wrote nothing"),
        ("""echo 'magpie:{"version": [3, 9, 1], "machine": "x86_64"}'""", "it is Python 3.9.1, and 3.10 to 3.12 are"),
        ("""echo 'magpie:{"version": [3, 13, 0], "machine": "x86_64"}'""", "it is Python 3.13.0"),
    ],
)
def test_a_program_that_is_no_suitable_python_is_refused(setting, tmp_path, script, reason):
    from MagpieSegmentationLib.PythonReport import PythonReport

    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o700)
    with pytest.raises(ResourceError) as caught:
        PythonReport.require(program)
    assert reason in caught.value.cause and caught.value.remedy


def test_a_file_that_cannot_be_run_is_refused(setting, tmp_path):
    from MagpieSegmentationLib.PythonReport import PythonReport

    with pytest.raises(ResourceError, match="cannot be used"):
        PythonReport.require(tmp_path / "missing")


def test_an_environment_is_made_and_filled_from_a_folder(setting, make_logic, wheels, dialog):
    logic = make_logic()
    environment = logic.environment
    assert not environment.exists()
    environment.make(sys.executable)
    setting.choose(environment.python)
    assert environment.exists() and logic.canInstall()
    logic.installFromFolder(wheels)
    assert logic.isComplete()
    assert "Successfully installed" in environment.log.read_text(encoding="utf-8")
    (next(environment.folder.glob("lib/*/site-packages/torch")) / "__init__.py").write_text("1/0", encoding="utf-8")
    logic.examine()
    assert logic.isBroken() and "ZeroDivisionError" in logic.problem()
    logic.installFromFolder(wheels)
    assert logic.isComplete()
    with pytest.raises(ResourceError) as caught:
        make_logic("a-package-that-is-not-there").installFromFolder(wheels)
    assert "a-package-that-is-not-there" in caught.value.cause and "log" in caught.value.remedy


def test_an_environment_whose_making_is_cancelled_leaves_nothing(setting, make_logic, dialog):
    dialog.wasCanceled = True
    environment = make_logic().environment
    with pytest.raises(Cancelled):
        environment.make(sys.executable)
    assert not environment.folder.exists()


def test_what_slicer_provides_is_what_the_package_declares(slicer):
    from MagpieSegmentationLib.InstallLogic import _OF_SLICER, TORCH_REQUIREMENT

    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for requirement in (*_OF_SLICER, f"torch{TORCH_REQUIREMENT}"):
        assert f'"{requirement}"' in project
    assert 'requires-python = ">=3.10,<3.13"' in project


@pytest.mark.parametrize(
    ("machine", "variables", "silicon", "words"),
    [
        ("x86_64", {"sysctl.proc_translated": "1"}, True, "Install a Python 3.10 to 3.12 for Apple silicon"),
        ("x86_64", {"hw.optional.arm64": "1"}, True, "at Python for computations"),
        ("x86_64", {}, False, "Use a Mac with Apple silicon"),
    ],
)
def test_a_slicer_for_intel_on_a_mac_points_to_another_python(slicer, machine, variables, silicon, words):
    from MagpieSegmentationLib.MacArchitecture import MacArchitecture
    from MagpieSegmentationLib.PythonReport import PythonReport

    mac = MacArchitecture("Darwin", machine, lambda name: variables.get(name, ""))
    assert mac.isAppleSilicon() is silicon
    assert mac.prefix() == (["/usr/bin/arch", "-arm64"] if silicon else [])
    assert "Intel" in mac.whyNoTorch() and words in mac.remedy()
    assert PythonReport((3, 12, 1), "x86_64").unsuitable(False, mac) == mac.whyNoTorch()
    assert PythonReport((3, 12, 1), "arm64").unsuitable(False, mac) == ""


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Linux", "x86_64"), ("Windows", "AMD64")])
def test_other_computers_need_no_other_python(slicer, system, machine):
    from MagpieSegmentationLib.MacArchitecture import MacArchitecture

    mac = MacArchitecture(system, machine, lambda name: "1")
    assert not mac.isAppleSilicon() and mac.prefix() == [] and mac.whyNoTorch() == ""


def test_on_a_mac_for_intel_torch_is_not_even_tried(slicer, make_logic, monkeypatch):
    from MagpieSegmentationLib import InstallLogic as module
    from MagpieSegmentationLib.MacArchitecture import MacArchitecture
    from MagpieSegmentationLib.PythonReport import PythonReport

    mac = MacArchitecture("Darwin", "x86_64", lambda name: "1")
    monkeypatch.setattr(module, "MacArchitecture", lambda: mac)
    monkeypatch.setattr(PythonReport, "unsuitable", lambda self, isSlicers: mac.whyNoTorch("x86_64"))
    logic = make_logic("a-package-that-is-not-there")
    monkeypatch.setattr(logic, "hasTorch", lambda: False)
    assert "This computer" in logic.problem() and not logic.canInstall()
    with pytest.raises(ResourceError, match="cannot run PyTorch"):
        logic.install()
