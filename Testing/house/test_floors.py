"""No import runs upwards, and the rooms that panels need inside Slicer import no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import magpie_core

PACKAGE = Path(magpie_core.__file__).parent

# What each room may import besides itself, `errors` and the package's own two constants.
STANDS_ON = {
    "errors": set(),
    "study": set(),
    "space": {"study"},
    "networks": {"study"},
    "cohort": {"study"},
    "synthesis": {"study"},
    "evaluation": {"study"},
    "models": {"study", "networks"},
    "inference": {"study", "space", "networks", "models"},
    "experts": {"study", "space", "networks", "models", "inference"},
    "report": {"study", "evaluation"},
}
STANDS_ON["training"] = set(STANDS_ON) - {"report"}
STANDS_ON["experiments"] = set(STANDS_ON)
FLOORS = set(STANDS_ON)
# The roof may import every floor; its rooms keep to themselves, but for the command line and its commands.
STANDS_ON["worker"] = FLOORS
STANDS_ON["commands"] = FLOORS
STANDS_ON["cli"] = FLOORS | {"commands"}

# Rooms within `training`, and which of the others each may import; what all trainings share knows none of them.
TRAINING_ROOMS: dict[str, set[str]] = {"corpus": set(), "pretraining": {"corpus"}, "finetuning": set()}

TORCH_FREE = (
    ["magpie_core", "magpie_core.cli", "magpie_core.errors"]
    + [
        f"magpie_core.{path.relative_to(PACKAGE).with_suffix('').as_posix().replace('/', '.')}"
        for room in ("study", "space", "cohort", "evaluation", "report")
        for path in sorted((PACKAGE / room).rglob("*.py"))
        if path.name not in ("__init__.py", "__main__.py")
    ]
    + [
        "magpie_core.models.registry",
        "magpie_core.models.versions",
        "magpie_core.models.manifest",
        "magpie_core.models.description",
    ]
    + ["magpie_core.worker.protocol", "magpie_core.worker.client"]
)


def modules() -> list[Path]:
    """Every file of the package, as a path inside it."""
    return [path.relative_to(PACKAGE) for path in sorted(PACKAGE.rglob("*.py"))]


def room_of(module: Path) -> str:
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


def test_every_room_has_a_place_in_the_house():
    rooms = {room_of(module) for module in modules()} - {""}
    assert rooms <= set(STANDS_ON), f"say in STANDS_ON what these stand on: {sorted(rooms - set(STANDS_ON))}"


def test_the_floors_have_an_order():
    placed: set[str] = set()
    while len(placed) < len(STANDS_ON):
        ready = {room for room, below in STANDS_ON.items() if below <= placed} - placed
        assert ready, f"these rooms stand on each other: {sorted(set(STANDS_ON) - placed)}"
        placed |= ready


@pytest.mark.parametrize("module", modules(), ids=str)
def test_no_import_runs_upwards(module):
    room = room_of(module)
    allowed = STANDS_ON.get(room, set()) | {room, "errors"}
    for line, name in imports(module):
        parts = name.split(".")
        if parts[0] != "magpie_core" or len(parts) < 2:
            continue
        inside = (PACKAGE / parts[1]).is_dir() or (PACKAGE / f"{parts[1]}.py").is_file()
        assert not inside or parts[1] in allowed, f"{module}:{line}: {room} must not import {parts[1]}"


def test_the_rooms_of_training_know_only_those_before_them():
    folders = {path.name for path in (PACKAGE / "training").iterdir() if (path / "__init__.py").is_file()}
    assert folders == set(TRAINING_ROOMS)
    for module in (module for module in modules() if room_of(module) == "training"):
        room = module.parts[1]
        for line, name in imports(module):
            parts = name.split(".")
            if parts[:2] == ["magpie_core", "training"] and len(parts) > 2 and parts[2] in TRAINING_ROOMS:
                allowed = TRAINING_ROOMS.get(room, set()) | {room}
                assert parts[2] in allowed, f"{module}:{line}: must not import training.{parts[2]}"


@pytest.mark.parametrize("module", TORCH_FREE)
def test_it_imports_without_torch(module):
    forbidden = ("torch", "monai", "nilearn")
    code = (
        f"import sys; import {module}; "
        f"found = [name for name in {forbidden!r} if name in sys.modules]; sys.exit(', '.join(found) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, f"{module} imports {done.stderr}"


def test_the_package_itself_imports_only_the_standard_library():
    code = "import sys; before = set(sys.modules); import magpie_core; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"magpie_core"}


def test_the_torch_free_list_is_real():
    """Importing a room that needs torch does bring it in, so the test above can fail."""
    code = "import sys; import magpie_core.models.model; sys.exit('torch' not in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
