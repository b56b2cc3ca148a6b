"""No import runs upwards, and the packages that panels need inside Slicer import no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import magpie_core

PACKAGE = Path(magpie_core.__file__).parent

# What each package may import besides itself, `errors`, `progress` and the constants of `magpie_core`.
LAYERS: dict[str, set[str]] = {
    "errors": set(),
    "progress": set(),
    "imaging": set(),
    "storage": set(),
    "series": {"imaging"},
    "io": {"imaging", "storage", "series"},
    "networks": {"imaging", "storage"},
}
LAYERS["preprocessing"] = {*LAYERS["io"], "io", "networks"}
LAYERS["synthesis"] = LAYERS["evaluation"] = {*LAYERS["io"], "io"}
LAYERS["cohort"] = {*LAYERS["preprocessing"], "preprocessing"} - {"networks"}
LAYERS["models"] = {*LAYERS["io"], "io", "networks"}
LAYERS["inference"] = {*LAYERS["models"], "models", "preprocessing"}
LAYERS["report"] = {*LAYERS["io"], "io", "preprocessing", "inference"}
LAYERS["experts"] = {*LAYERS["inference"], "inference"}
LAYERS["training"] = {*LAYERS["inference"], "inference", "cohort", "synthesis", "evaluation"}
LAYERS["pretraining"] = {*LAYERS["training"], "training"}
LAYERS["experiments"] = {*LAYERS["pretraining"], "pretraining"}
LAYERS["app"] = {*LAYERS["training"], "training", "experts", "report"}
# The front ends: they parse and print, receive and send; neither knows the other.
LAYERS["worker"] = {"app", "imaging", "io", "storage", "networks"}
LAYERS["api"] = {"app", "imaging"}
LAYERS["commands"] = {*LAYERS["app"], "app", "pretraining", "experiments"}
LAYERS["cli"] = {"commands"}
LAYERS[""] = {"api", "imaging"}  # the facade

# Packages that a panel needs inside Slicer: they import no torch.
TORCH_FREE = (
    ["magpie_core", "magpie_core.cli", "magpie_core.errors"]
    + [
        f"magpie_core.{path.relative_to(PACKAGE).with_suffix('').as_posix().replace('/', '.')}"
        for package in ("imaging", "series", "io", "storage", "cohort", "evaluation", "report", "app")
        for path in sorted((PACKAGE / package).rglob("*.py"))
        if path.name not in ("__init__.py", "__main__.py")
    ]
    + ["magpie_core.models.registry", "magpie_core.models.versions", "magpie_core.models.description"]
    + ["magpie_core.api", "magpie_core.preprocessing.prepared_study", "magpie_core.worker.jobs"]
    + ["magpie_core.worker.protocol", "magpie_core.worker.client"]
)


def modules() -> list[Path]:
    """Every file of the package, as a path inside it."""
    return [path.relative_to(PACKAGE) for path in sorted(PACKAGE.rglob("*.py"))]


def package_of(module: Path) -> str:
    """The first folder or file below the package; "" for the package itself."""
    name = module.parts[0].removesuffix(".py")
    return "" if name == "__init__" else name


def imports(module: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of every import in a file, those in functions and under TYPE_CHECKING included."""
    package = ["magpie_core", *module.parent.parts]
    for node in ast.walk(ast.parse((PACKAGE / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{stem}.{alias.name}"


def test_every_package_has_a_layer():
    packages = {package_of(module) for module in modules()} - {""}
    assert packages <= set(LAYERS), f"say in LAYERS what these import: {sorted(packages - set(LAYERS))}"


def test_the_layers_have_an_order():
    placed: set[str] = set()
    while len(placed) < len(LAYERS):
        ready = {package for package, below in LAYERS.items() if below <= placed} - placed
        assert ready, f"these packages import each other: {sorted(set(LAYERS) - placed)}"
        placed |= ready


@pytest.mark.parametrize("module", modules(), ids=str)
def test_no_import_runs_upwards(module):
    package = package_of(module)
    allowed = LAYERS.get(package, set()) | {package, "errors", "progress"}
    for line, name in imports(module):
        parts = name.split(".")
        if parts[0] != "magpie_core" or len(parts) < 2:
            continue
        inside = (PACKAGE / parts[1]).is_dir() or (PACKAGE / f"{parts[1]}.py").is_file()
        assert not inside or parts[1] in allowed, f"{module}:{line}: {package} must not import {parts[1]}"


@pytest.mark.parametrize("module", TORCH_FREE)
def test_it_imports_without_torch(module):
    forbidden = ("torch", "monai")
    code = (
        f"import sys; import {module}; "
        f"found = [name for name in {forbidden!r} if name in sys.modules]; sys.exit(', '.join(found) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, f"{module} imports {done.stderr}"


def test_the_package_itself_imports_only_the_standard_library():
    code = "import sys; before = set(sys.modules); import magpie_core; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()} - set(sys.stdlib_module_names)
    assert loaded == {"magpie_core"}
    assert not [name for name in done.stdout.split() if name.startswith("magpie_core.")]


@pytest.mark.parametrize("package", ["worker", "commands"])
def test_front_ends_know_no_use_case_by_heart(package):
    """The use cases that `app` owns are not composed again from the layers below it."""
    composed = {"segment_study", "run_acceptance_test", "attention_points", "expert_maps", "rank_studies"}
    for module in (module for module in modules() if package_of(module) == package):
        names = {name.split(".")[-1] for _, name in imports(module) if not name.startswith("magpie_core.app")}
        assert not names & composed, f"{module} composes {names & composed}"


def test_the_torch_free_list_is_real():
    """Importing a package that needs torch does bring it in, so the test above can fail."""
    code = "import sys; import magpie_core.models.model; sys.exit('torch' not in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
