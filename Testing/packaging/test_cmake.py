"""The lists of CMake match the tree, and an install is complete."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from install_tree import MODULES as MODULES_FOLDER, SITE, install_extension

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path.parent for path in ROOT.glob("Magpie*/CMakeLists.txt"))


def listed(module: Path, variable: str) -> set[str]:
    """Return the files that a module's CMakeLists.txt lists in a variable."""
    text = (module / "CMakeLists.txt").read_text(encoding="utf-8")
    block = re.search(rf"set\({variable}\s+(.*?)\)", text, re.DOTALL)
    assert block, variable
    return {name.replace("${MODULE_NAME}", module.name) for name in block[1].split()}


def in_tree(folder: Path, pattern: str) -> set[str]:
    """Return the files below a folder, as relative paths."""
    found = (path for path in folder.rglob(pattern) if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix() for path in found}


def test_root_file_adds_every_module():
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    added = re.findall(r"^add_subdirectory\((\w+)\)", text, re.MULTILINE)
    assert sorted(added) == [module.name for module in MODULES]
    assert "\n## NEXT_MODULE\n" in text


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_listed_scripts_match_the_tree(module):
    scripts = {name for name in in_tree(module, "*.py") if not name.startswith("Testing/")}
    assert listed(module, "MODULE_PYTHON_SCRIPTS") == scripts


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_listed_resources_match_the_tree(module):
    resources = {f"Resources/{name}" for name in in_tree(module / "Resources", "*")}
    assert listed(module, "MODULE_PYTHON_RESOURCES") == resources


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_library_of_a_module_has_a_unique_name(module):
    packages = {path.parent.name for path in module.rglob("__init__.py")}
    assert packages == {f"{module.name}Lib"}


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """The extension, configured, built and installed by CMake with a stand-in for Slicer."""
    build, prefix = tmp_path_factory.mktemp("build"), tmp_path_factory.mktemp("installed")
    install_extension(build, prefix)
    return build, prefix


def test_install_holds_package_modules_and_resources(installed):
    _, prefix = installed
    site = prefix / SITE
    modules = prefix / MODULES_FOLDER
    shipped = {name for name in in_tree(ROOT / "magpie_core", "*.py") if not name.startswith("pretraining/")}
    assert in_tree(site / "magpie_core", "*.py") == shipped
    assert not list(prefix.rglob("__pycache__"))
    shared = {name for name in in_tree(ROOT / "Resources", "*") if not name.startswith("Screenshots/")}
    assert in_tree(site / "magpie_core" / "resources", "*") == shared
    for module in MODULES:
        assert (modules / f"{module.name}.py").is_file()
        assert (modules / "Resources" / "UI" / f"{module.name}.ui").is_file()


@pytest.mark.parametrize("tree", ["installed", "build"])
def test_panel_finds_package_and_resources(installed, tree):
    build, prefix = installed
    place = build if tree == "build" else prefix
    modules = place / MODULES_FOLDER
    site = prefix / SITE
    code = (
        "import json, magpie_core\n"
        "from magpie_core.worker.client import WorkerClient\n"
        "from MagpieSegmentationLib.CorePackage import sharedResource\n"
        "names = ['Colors/MagpieGlioma.csv', 'Terminology/MagpieGlioma.term.json']\n"
        "print(json.dumps([magpie_core.__file__, *(str(sharedResource(name)) for name in names)]))\n"
    )
    paths = [str(modules)] + ([str(site)] if tree == "installed" else [])
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        cwd=prefix,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert done.returncode == 0, done.stderr
    for path in json.loads(done.stdout):
        assert Path(path).is_file()
        assert Path(path).is_relative_to(place)


def test_every_use_case_imports_from_the_install_without_pretraining(installed):
    _, prefix = installed
    site = prefix / SITE
    packages = ("app", "worker", "training", "experts", "inference", "cohort", "report", "synthesis")
    modules = [
        f"magpie_core.{path.relative_to(site / 'magpie_core').with_suffix('').as_posix().replace('/', '.')}"
        for package in packages
        for path in sorted((site / "magpie_core" / package).rglob("*.py"))
        if path.name not in ("__init__.py", "__main__.py")
    ]
    done = subprocess.run(
        [sys.executable, "-c", f"import {', '.join(modules)}, sys; print('magpie_core.pretraining' in sys.modules)"],
        capture_output=True,
        text=True,
        cwd=prefix,
        env={**os.environ, "PYTHONPATH": str(site)},
    )
    assert done.returncode == 0 and done.stdout.strip() == "False", done.stderr


def test_worker_runs_from_the_install(installed):
    _, prefix = installed
    site = prefix / SITE
    code = """
import time
from magpie_core.worker.client import WorkerClient
with WorkerClient() as client:
    job = client.submit({"kind": "segment", "images": {"T1": "/no/such/t1.nii"}, "output": "/nowhere"})
    messages = []
    while client.busy:
        messages += client.poll()
        time.sleep(0.02)
print(client.__class__.__module__, __import__("magpie_core").__file__, messages[-1]["kind"])
"""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=prefix, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1:] == [str(site / "magpie_core" / "__init__.py"), "InputError"]
