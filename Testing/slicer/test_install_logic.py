"""What is missing or broken is found without importing it, and installed with consent; Slicer's own is not changed."""

from __future__ import annotations

import importlib.metadata
import sys
import types
from pathlib import Path

import pytest

from magpie_core.errors import Cancelled, ResourceError

REQUIREMENTS = Path(__file__).resolve().parents[2] / "MagpieSegmentation" / "Resources" / "requirements.txt"
ABSENT = "a-package-that-is-not-there"


@pytest.fixture
def make_logic(slicer, tmp_path, monkeypatch):
    from MagpieSegmentationLib import InstallLogic as module
    from MagpieSegmentationLib.PythonEnvironment import PythonEnvironment

    monkeypatch.setattr(module, "_reports", {})

    def make(*requirements):
        path = tmp_path / "requirements.txt"
        path.write_text("# a comment\n\n" + "\n".join(requirements), encoding="utf-8")
        return module.InstallLogic(path, PythonEnvironment(tmp_path / "environment"))

    return make


@pytest.fixture
def installs(slicer, monkeypatch):
    """Records the calls of `slicer.packaging.pip_ensure`."""
    calls = []

    def pip_ensure(packages, constraints=None, requester=None):
        calls.append((packages, Path(constraints).read_text(encoding="utf-8"), requester))

    module = types.ModuleType("slicer.packaging")
    module.pip_ensure = pip_ensure
    monkeypatch.setitem(sys.modules, "slicer.packaging", module)
    return calls


@pytest.fixture
def asked(slicer, monkeypatch):
    """Records what the user is asked, and agrees."""
    questions = []
    monkeypatch.setattr(
        slicer.util, "confirmOkCancelDisplay", lambda text, **options: questions.append(text) or True, raising=False
    )
    return questions


@pytest.fixture
def see(monkeypatch):
    """Lets the worker's Python have the packages of this one but for some, without running it."""
    from MagpieSegmentationLib.PythonReport import PythonReport
    from MagpieSegmentationLib.SlicerPackages import SlicerPackages

    versions = SlicerPackages.versions

    def see(*absent):
        def found(names):
            return {name: version for name, version in versions(names).items() if name not in absent}

        def of(command, environment, names):
            return PythonReport((3, 12, 1), "", found(names))

        monkeypatch.setattr(SlicerPackages, "versions", staticmethod(found))
        monkeypatch.setattr(PythonReport, "of", staticmethod(of))

    return see


@pytest.fixture
def extension(monkeypatch):
    """The PyTorch extension; `extension.result` is what its `installTorch` returns, or raises."""

    class PyTorchUtilsLogic:
        def installTorch(self, **options):  # noqa: N802
            extension.calls.append(options)
            import torch  # as the real one does

            extension.loaded = torch
            if isinstance(extension.result, Exception):
                raise extension.result
            return extension.result

    extension = types.ModuleType("PyTorchUtils")
    extension.PyTorchUtilsLogic, extension.calls, extension.result = PyTorchUtilsLogic, [], None
    monkeypatch.setitem(sys.modules, "PyTorchUtils", extension)
    return extension


def test_nothing_is_missing_in_the_environment_of_the_project(make_logic):
    from MagpieSegmentationLib.InstallLogic import InstallLogic

    logic = InstallLogic(REQUIREMENTS)
    assert logic.missingPackages() == [] and logic.problem() == ""
    logic.ensure()
    assert logic.isComplete()


def test_missing_packages_lists_absent_and_old_ones(make_logic):
    logic = make_logic("numpy>=1", "numpy>=99", f"{ABSENT}>=1")
    assert logic.missingPackages() == ["numpy>=99", f"{ABSENT}>=1"]
    assert logic.problem() == f"Python packages are missing: numpy, {ABSENT}."
    assert not logic.isComplete() and logic.canInstall() and not logic.isBroken()


def test_install_constrains_the_versions_of_slicer(make_logic, installs, see):
    see()
    with pytest.raises(ResourceError, match="are missing"):
        make_logic("numpy", ABSENT).install()
    ((packages, constraints, requester),) = installs
    assert packages == [ABSENT]
    assert requester == "MAGPIE"
    lines = constraints.splitlines()
    for name in ("numpy", "scipy", "torch"):
        assert f"{name}=={importlib.metadata.version(name)}" in lines


def test_install_does_nothing_if_complete(make_logic, installs, see):
    see()
    make_logic("numpy").install()
    assert installs == []


def test_the_python_is_run_once_in_a_session_if_it_is_complete(make_logic, see, monkeypatch):
    from MagpieSegmentationLib.PythonReport import PythonReport

    see()
    make_logic("numpy").ensure()
    monkeypatch.setattr(PythonReport, "of", lambda *_: pytest.fail("it is known already"))
    make_logic("numpy").ensure()


def test_declining_is_no_failure(make_logic, installs, see, monkeypatch, caplog):
    see()

    def declined(*packages, **options):
        raise RuntimeError("User declined package installation")

    monkeypatch.setattr(sys.modules["slicer.packaging"], "pip_ensure", declined)
    with pytest.raises(Cancelled, match="Nothing was installed"):
        make_logic(ABSENT).install()
    assert not caplog.records


def test_torch_is_installed_by_the_pytorch_extension(make_logic, see, extension, monkeypatch):
    see("torch")
    logic = make_logic("numpy")
    assert not logic.hasTorch() and "PyTorch" in logic.problem()
    with pytest.raises(Cancelled):
        logic.install()
    assert extension.calls == [{"askConfirmation": True, "torchVersionRequirement": ">=2.8"}]
    extension.result = RuntimeError("no wheel for this computer")
    with pytest.raises(ResourceError) as caught:
        logic.ensure()
    assert "no wheel for this computer" in caught.value.cause
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    with pytest.raises(ResourceError) as caught:
        logic.install()
    assert "Extensions Manager" in caught.value.remedy


def test_the_pytorch_extension_loads_no_torch_here_and_pip_stays_as_it_is(slicer, extension, monkeypatch, tmp_path):
    (tmp_path / "torch.py").write_text("class Tensor: pass", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    from MagpieSegmentationLib.SlicerPackages import SlicerPackages

    for name in [name for name in sys.modules if name == "torch" or name.startswith("torch.")]:
        monkeypatch.delitem(sys.modules, name)
    versions, installed = iter([{"pip": "26.1"}, {"pip": "26.0"}]), []
    monkeypatch.setattr(SlicerPackages, "versions", staticmethod(lambda names: next(versions)))
    monkeypatch.setattr(slicer.util, "pip_install", installed.append)
    extension.result = object()
    SlicerPackages.installTorch(">=2.8")
    assert not hasattr(extension.loaded, "Tensor") and "torch" not in sys.modules
    assert installed == ["pip==26.1"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise OSError('libcudart.so.12: cannot open shared object file')", "OSError: libcudart.so.12"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "it crashed while it was loaded"),
    ],
)
def test_a_broken_torch_is_told_from_a_missing_one_and_repaired(
    slicer, make_logic, make_python, asked, extension, monkeypatch, code, reason
):
    from MagpieSegmentationLib.PythonSetting import PythonSetting

    python = make_python(torch=code)
    monkeypatch.setattr(PythonSetting, "command", lambda: [str(python)])
    logic = make_logic("numpy")
    assert logic.isComplete(), "not known before the Python was run"
    removed = []
    monkeypatch.setattr(slicer.util, "pip_uninstall", removed.append, raising=False)
    with pytest.raises(Cancelled):  # by the extension's own question
        logic.ensure()
    assert logic.isBroken() and not logic.isComplete() and logic.hasTorch()
    assert reason in logic.problem() and reason in asked[0]
    assert removed == ["torch"] and len(extension.calls) == 1


def test_a_folder_without_wheels_is_refused(make_logic, tmp_path):
    with pytest.raises(ResourceError, match="holds no packages"):
        make_logic(ABSENT).installFromFolder(tmp_path)
