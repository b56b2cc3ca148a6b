"""The packages of the worker are installed with consent, and Slicer's own packages are not changed."""

from __future__ import annotations

import importlib.metadata
import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from magpie_core.errors import ResourceError

REQUIREMENTS = Path(__file__).resolve().parents[2] / "MagpieSegmentation" / "Resources" / "requirements.txt"


@pytest.fixture
def make_logic(slicer, tmp_path):
    from MagpieSegmentationLib.InstallLogic import InstallLogic

    def make(*requirements):
        path = tmp_path / "requirements.txt"
        path.write_text("# a comment\n\n" + "\n".join(requirements), encoding="utf-8")
        return InstallLogic(path)

    return make


@pytest.fixture
def installs(slicer, monkeypatch):
    """Records the calls of `slicer.packaging.pip_ensure`."""
    calls = []

    def pip_ensure(packages, constraints=None, requester=None):
        calls.append((packages, Path(constraints).read_text(encoding="utf-8"), requester))

    module = types.ModuleType("slicer.packaging")
    module.__spec__ = ModuleSpec("slicer.packaging", None)
    module.pip_ensure = pip_ensure
    monkeypatch.setitem(sys.modules, "slicer.packaging", module)
    return calls


def test_is_complete_in_the_environment_of_the_project(slicer):
    from MagpieSegmentationLib.InstallLogic import InstallLogic

    logic = InstallLogic(REQUIREMENTS)
    assert logic.missingPackages() == []
    assert logic.isComplete()


def test_missing_packages_lists_absent_and_old_ones(make_logic):
    logic = make_logic("numpy>=1", "numpy>=99", "a-package-that-is-not-there>=1")
    assert logic.missingPackages() == ["numpy>=99", "a-package-that-is-not-there>=1"]
    assert not logic.isComplete()


def test_install_constrains_the_versions_of_slicer(make_logic, installs):
    with pytest.raises(ResourceError, match="are missing"):
        make_logic("numpy", "a-package-that-is-not-there").install()
    ((packages, constraints, requester),) = installs
    assert packages == ["a-package-that-is-not-there"]
    assert requester == "MAGPIE"
    lines = constraints.splitlines()
    for name in ("numpy", "scipy", "torch"):
        assert f"{name}=={importlib.metadata.version(name)}" in lines


def test_install_does_nothing_if_complete(make_logic, installs):
    make_logic("numpy").install()
    assert installs == []


def test_install_raises_if_declined(make_logic, installs, monkeypatch):
    def declined(*packages, **options):
        raise RuntimeError("User declined package installation")

    monkeypatch.setattr(sys.modules["slicer.packaging"], "pip_ensure", declined)
    with pytest.raises(ResourceError, match="declined"):
        make_logic("a-package-that-is-not-there").install()


@pytest.mark.parametrize("agrees", [True, False])
def test_install_without_slicer_packaging_asks_and_uses_pip_install(slicer, make_logic, monkeypatch, agrees):
    asked, installed = [], []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text: asked.append(text) or agrees)
    monkeypatch.setattr(slicer.util, "pip_install", installed.append)
    with pytest.raises(ResourceError):
        make_logic("a-package-that-is-not-there").install()
    assert "a-package-that-is-not-there" in asked[0]
    assert len(installed) == agrees
    if agrees:
        assert installed[0][0] == "--constraint"
        assert installed[0][2:] == ["a-package-that-is-not-there"]


def test_install_uses_the_pytorch_extension_for_torch(make_logic, monkeypatch):
    logic = make_logic("numpy")
    monkeypatch.setattr(type(logic), "hasTorch", lambda self: False)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    with pytest.raises(ResourceError) as caught:
        logic.install()
    assert "Extensions Manager" in caught.value.remedy
    asked = []

    class PyTorchUtilsLogic:
        def installTorch(self, **options):  # noqa: N802
            asked.append(options)

    extension = types.ModuleType("PyTorchUtils")
    extension.PyTorchUtilsLogic = PyTorchUtilsLogic
    monkeypatch.setitem(sys.modules, "PyTorchUtils", extension)
    with pytest.raises(ResourceError, match="not installed"):
        logic.install()
    assert asked == [{"askConfirmation": True, "torchVersionRequirement": ">=2.8"}]
