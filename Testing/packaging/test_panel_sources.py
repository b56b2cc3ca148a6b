"""The sources of the panels without Qt: imports, names in the .ui files, translatable texts, requirements."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for path in ROOT.glob("Magpie*/**/*.py") if "__pycache__" not in path.parts)
FORMS = sorted(ROOT.glob("Magpie*/Resources/UI/*.ui"))
MODULE = ROOT / "MagpieSegmentation"
FORM = MODULE / "Resources" / "UI" / "MagpieSegmentation.ui"

# Slicer ships these; everything else is installed later, with consent, or belongs to the project.
SLICERS_OWN = {"slicer", "vtk", "qt", "ctk", "numpy", "scipy", "packaging"}
# Modules of magpie_core that import only what a fresh Slicer has, as a test below checks.
LIGHT = {
    "magpie_core",
    "magpie_core.errors",
    "magpie_core.io.file_names",
    "magpie_core.imaging.background",
    "magpie_core.imaging.glioma",
    "magpie_core.imaging.modality",
    "magpie_core.models.card",
    "magpie_core.models.registry",
    "magpie_core.series.acquisition",
    "magpie_core.series.description",
    "magpie_core.series.facts",
    "magpie_core.worker.client",
}
GONE_IN_PYTHON_3_12 = {"imp", "distutils", "asyncore", "asynchat", "smtpd"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 12))


def imported(nodes: Iterator[ast.AST] | list[ast.stmt]) -> Iterator[str]:
    """Return the names of the imported modules, without relative imports."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""


def ui_names(form: Path) -> set[str]:
    return {widget.get("name", "") for widget in ElementTree.parse(form).iter("widget")}


def attributes_of(path: Path, *owners: str) -> set[str]:
    """Return the x of every ui.x or self.ui.x in a file."""
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in owners:
            found.add(node.attr)
    return found


@pytest.mark.parametrize("source", SOURCES, ids=name_of)
def test_module_level_imports_are_available_in_a_fresh_slicer(source):
    for module in imported(tree_of(source).body):
        first = module.split(".")[0]
        assert (
            first in sys.stdlib_module_names
            or first in SLICERS_OWN
            or re.fullmatch(r"Magpie\w+Lib", first)
            or module in LIGHT
        ), module


@pytest.mark.parametrize("source", SOURCES, ids=name_of)
def test_no_import_of_torch_or_of_removed_modules(source):
    for module in imported(ast.walk(tree_of(source))):
        assert module.split(".")[0] not in GONE_IN_PYTHON_3_12 | {"torch", "monai"}


def test_light_modules_import_only_what_a_fresh_slicer_has():
    code = "import sys, numpy, packaging, scipy.ndimage; before = set(sys.modules)\n"
    code += "\n".join(f"import {name}" for name in sorted(LIGHT))
    code += "\nnew = {name.split('.')[0] for name in set(sys.modules) - before}\n"
    code += "print(*sorted(new - set(sys.stdlib_module_names)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["magpie_core"]


@pytest.mark.parametrize("source", SOURCES, ids=name_of)
def test_translated_texts_are_literals(source):
    for node in ast.walk(tree_of(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
            assert len(node.args) == 1, ast.unparse(node)
            assert isinstance(node.args[0], ast.Constant), ast.unparse(node)
            assert isinstance(node.args[0].value, str)


@pytest.mark.parametrize("source", SOURCES, ids=name_of)
def test_dialogs_have_a_parent(source):
    """Without one a dialog can lie behind Slicer's window, which then seems to hang."""
    for node in ast.walk(tree_of(source)):
        name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if re.fullmatch(r"qt\.Q(\w*Dialog|MessageBox)(\.get\w+|\.(question|warning|information|critical))?", name):
            assert node.args, ast.unparse(node)
            parent = ast.unparse(node.args[4 if name == "qt.QProgressDialog" else 0])
            assert parent in ("slicer.util.mainWindow()", "parent"), ast.unparse(node)


@pytest.mark.parametrize("source", SOURCES, ids=name_of)
def test_source_has_docstrings_and_at_most_one_class(source):
    tree = tree_of(source)
    assert ast.get_docstring(tree)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert all(ast.get_docstring(node) for node in classes)
    if source.parent.name.endswith("Lib") and source.name != "__init__.py":
        assert [node.name for node in classes] in ([source.stem], [])


@pytest.mark.parametrize("form", FORMS, ids=name_of)
def test_form_declares_its_widgets_and_connects_them_to_the_scene(form):
    root = ElementTree.parse(form).getroot()
    declared = {item.findtext("class") for item in root.iter("customwidget")}
    used = {widget.get("class", "") for widget in root.iter("widget")}
    assert {name for name in used if not name.startswith("Q")} == declared
    names = [widget.get("name") for widget in root.iter("widget")]
    assert len(names) == len(set(names))
    top = root.find("widget")
    assert (top.get("class"), top.get("name")) == ("qMRMLWidget", form.stem)
    connected = {item.findtext("receiver") for item in root.iter("connection")}
    assert all(item.findtext("sender") == form.stem for item in root.iter("connection"))
    assert connected == {
        widget.get("name")
        for widget in root.iter("widget")
        if widget.get("class", "").startswith("qMRML") and widget is not top
    }


@pytest.mark.parametrize("form", FORMS, ids=name_of)
def test_interactive_widgets_have_accessible_name_and_tooltip(form):
    for widget in ElementTree.parse(form).iter("widget"):
        if widget.get("class") in (
            "QPushButton",
            "qMRMLNodeComboBox",
            "QProgressBar",
            "QTableWidget",
            "qMRMLTableView",
            "QComboBox",
        ):
            texts = {item.get("name"): item.findtext("string") for item in widget.findall("property")}
            assert texts.get("accessibleName"), widget.get("name")
            assert texts.get("toolTip"), widget.get("name")


@pytest.mark.parametrize("source", sorted((MODULE / "MagpieSegmentationLib").glob("*.py")), ids=name_of)
def test_panel_uses_only_widgets_of_the_form(source):
    assert attributes_of(source, "ui", "self.ui", "self._ui") <= ui_names(FORM)


def test_panel_uses_every_widget_of_the_form():
    used = set()
    for source in (MODULE / "MagpieSegmentationLib").glob("*.py"):
        used |= attributes_of(source, "ui", "self.ui", "self._ui")
    bound = set(_bound().values())
    fixed = {name for name in ui_names(FORM) if name.endswith(("Section", "useLabel"))} | {FORM.stem}
    captions = {
        widget.get("name")
        for widget in ElementTree.parse(FORM).iter("widget")
        if widget.get("class") == "QLabel" and widget.find("property[@name='buddy']") is not None
    }
    assert ui_names(FORM) - used - bound - fixed - captions == set()


def _bound():
    """Return parameter name -> widget name."""
    return {
        item.findtext("string"): widget.get("name")
        for widget in ElementTree.parse(FORM).iter("widget")
        for item in widget.findall("property")
        if item.get("name") == "SlicerParameterName"
    }


def test_connected_widgets_match_the_parameter_node():
    (node,) = (
        item
        for item in tree_of(MODULE / "MagpieSegmentationLib" / "PanelParameterNode.py").body
        if isinstance(item, ast.ClassDef)
    )
    parameters = {item.target.id for item in node.body if isinstance(item, ast.AnnAssign)}
    assert set(_bound()) == parameters - {"result"}


def test_requirements_match_the_package():
    required = {
        line.strip()
        for line in (MODULE / "Resources" / "requirements.txt").read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    }
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    core = re.search(r"^dependencies = \[(.*?)\]", project, re.DOTALL | re.MULTILINE)[1]
    torch = re.search(r"^torch = \[(.*?)\]", project, re.MULTILINE)[1]
    dicom = re.search(r"^dicom = \[(.*?)\]", project, re.MULTILINE)[1]
    declared = set(re.findall(r'"([^"]+)"', core + torch + dicom))
    by_slicer_or_for_the_terminal = ("numpy", "scipy", "SimpleITK", "typer", "rich", "torch")
    assert required == {
        item for item in declared if not re.match(rf"({'|'.join(by_slicer_or_for_the_terminal)})\b", item)
    }
