"""The tree holds what it should: no data, no undeclared package, one version, every file with its purpose."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import magpie_core

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "magpie_core"
IMAGES = re.compile(r"\.(nii|nii\.gz|nrrd|mha|mhd|mgz|dcm|ima|npz|npy|pt|pth|pkl|ckpt)$", re.IGNORECASE)
BIGGEST_MB = 16
# The average head of the ICBM 152 template; and what tests read, which is too small to hold a patient.
TEMPLATE = {"Resources/Template/head_tissues.nii.gz", "Resources/Template/t1_brain_right_half.nii.gz"}
MOST_TEST_IMAGE_BYTES = 1024
MOST_LINES = 350  # of a file of the package
MOST_FUNCTION_LINES = 80
MOST_PACKAGE_LINES = 31_000
LONG_FUNCTIONS: set[str] = set()

# Import name -> name of the distribution, where they differ.
DISTRIBUTIONS = {"yaml": "pyyaml", "SimpleITK": "simpleitk", "backports": "backports.zstd"}


def tracked() -> list[Path]:
    """Files under version control, or in the tree where there is no repository."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listing.returncode == 0:
        return [path for line in listing.stdout.splitlines() if (path := ROOT / line).is_file()]
    hidden = (path for path in ROOT.rglob("*") if path.is_file())
    return [path for path in hidden if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)]


def sources() -> list[Path]:
    """Every Python file of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def test_no_image_data_and_no_pickles():
    images = {path.relative_to(ROOT): path for path in tracked() if IMAGES.search(path.name)}
    small = {
        name
        for name, path in images.items()
        if name.parts[0] == "Testing" and "data" in name.parts and path.stat().st_size <= MOST_TEST_IMAGE_BYTES
    }
    assert not {name.as_posix() for name in set(images) - small} - TEMPLATE


def test_no_file_is_too_big():
    big = [str(path.relative_to(ROOT)) for path in tracked() if path.stat().st_size > BIGGEST_MB << 20]
    assert not big


def test_the_version_is_one():
    version = magpie_core.__version__
    assert re.search(rf"^version: {re.escape(version)}$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    latest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert latest and latest[1] == version
    assert 'path = "magpie_core/__init__.py"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("source", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_says_what_it_is_for(source):
    assert ast.get_docstring(ast.parse(source.read_text(encoding="utf-8")))


@pytest.mark.parametrize("source", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_public_things_are_documented(source):
    tree = ast.parse(source.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    bare = [
        node.name
        for node in tree.body
        if isinstance(node, kinds) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert not bare


def lines(source: Path) -> int:
    """Number of lines of a file."""
    return len(source.read_text(encoding="utf-8").splitlines())


def test_no_file_of_the_package_is_too_long():
    assert not {str(path.relative_to(PACKAGE)): lines(path) for path in sources() if lines(path) > MOST_LINES}


def test_no_function_of_the_package_is_too_long():
    long = {}
    for source in sources():
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                length = (node.end_lineno or first) - first + 1
                if length > MOST_FUNCTION_LINES:
                    long[f"{source.relative_to(PACKAGE).as_posix()}:{node.name}"] = length
    assert set(long) <= LONG_FUNCTIONS, long


def test_the_package_is_not_too_long():
    assert sum(map(lines, sources())) <= MOST_PACKAGE_LINES


def test_nothing_is_unpickled_or_evaluated():
    dangerous = {"eval", "exec"}
    found = []
    for source in sources():
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                if any(name.split(".")[0] in ("pickle", "shelve", "marshal", "joblib") for name in names):
                    found.append(f"{source.name}:{node.lineno}")
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in dangerous:
                found.append(f"{source.name}:{node.lineno}")
    assert not found


def test_every_import_is_declared():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    declared = {name.lower() for name in re.findall(r'"([A-Za-z][\w.-]*)\s*[><=!~;"\[]', text)} | {"magpie_core"}
    missing = set()
    for source in sources():
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            for name in (item.split(".")[0] for item in names):
                distribution = DISTRIBUTIONS.get(name, name).lower()
                if name not in sys.stdlib_module_names and distribution not in declared:
                    missing.add(f"{source.relative_to(ROOT)}: {name}")
    assert not missing


def imported() -> set[str]:
    """Distributions that the package imports, by name, those in functions included."""
    names: set[str] = set()
    for source in sources():
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names.add(node.module.split(".")[0])
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "import_dicom":
                names |= {value.value for value in node.args if isinstance(value, ast.Constant)}
    return {DISTRIBUTIONS.get(name, name).lower() for name in names}


def test_every_package_of_the_panels_is_used():
    text = (ROOT / "MagpieSegmentation" / "Resources" / "requirements.txt").read_text(encoding="utf-8")
    asked = {name.lower() for name in re.findall(r"^([A-Za-z][\w.-]*)", text, re.MULTILINE)}
    assert asked - imported() <= {"python-gdcm"}  # decompresses DICOM images for pydicom


def test_the_constraints_pin_what_is_declared():
    pins = re.findall(r"^([A-Za-z][\w-]*)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8").lower()
    assert "torch" in pins
    assert [pin for pin in pins if f'"{pin.lower()}' not in text] == []
