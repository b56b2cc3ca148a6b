"""The suite acts by mouse and keyboard only; its Python inside Slicer reads."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from user import User

FOLDER = Path(__file__).parent
SUITE = sorted(path for path in FOLDER.glob("test_*.py") if path.name != Path(__file__).name)

# What may be called inside Slicer: it changes nothing there.
_READERS = re.compile(
    r"^(Get\w+|Is[A-Z]\w*|Has\w+|is[A-Z]\w*|has[A-Z]\w*|get[A-Z]\w*|find\w+|array\w+|magpie_\w+|child\w*|current\w*|"
    r"sum|any|all|len|sorted|str|int|float|bool|list|dict|set|min|max|round|abs|zip|range|enumerate|repr|type|isinstance|"
    r"item|items|keys|values|text|split|strip|join|startswith|endswith|count|tolist|className|objectName|data|index|"
    r"model|rowCount|columnCount|horizontalHeaderItem|verticalHeaderItem|row\w*|column\w*|width|height|x|y|z|left|top|"
    r"right|bottom|size\w*|mapToGlobal|visualRect|viewport|view|center|rect|pos|layoutManager|sliceWidget|sliceLogic|"
    r"sliceView|threeDWidget|threeDView|mainWindow|selectedModule|activeModalWidget|activeWindow|widgetRepresentation|"
    r"settings|value|contains|allKeys|inherits|parentWidget|windowTitle|loads|dumps|getattr|hasattr|exists|name|"
    r"nonzero|mean|ptp|shape|astype|collect|stackedWidget|QPoint|windowText|globalPos|screen|devicePixelRatio|"
    r"isVisibleTo|errorLogModel|textAlignment|dir|in|not|and|or|if|buttons|chart|plotView|plotWidget|vtkObserver|actualSizeHint|sizeHint|fontMetrics|toString|toPlainText|instance|readlines|widget|tabText|module|path)$"
)


def _calls_inside(tree: ast.AST) -> Iterator[str]:
    """The names of all that the texts of a file call, if the texts are expressions for Slicer."""
    for node in ast.walk(tree):
        text = ""
        if isinstance(node, ast.JoinedStr):
            text = "".join(part.value if isinstance(part, ast.Constant) else "filled_in" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        if "def " in text:
            continue  # a file that the test writes: no expression has a definition
        if "slicer." in text or "magpie_" in text or "filled_in" in text:
            yield from re.findall(r"(\w+)\s*\(", text)


@pytest.mark.parametrize("path", SUITE, ids=lambda path: path.name)
def test_python_inside_slicer_only_reads(path):
    calls = set(_calls_inside(ast.parse(path.read_text(encoding="utf-8"))))
    assert not {name for name in calls if not _READERS.match(name)}


@pytest.mark.parametrize("path", SUITE, ids=lambda path: path.name)
def test_files_use_nothing_of_slicer_but_a_user(path):
    text = path.read_text(encoding="utf-8")
    assert not re.findall(r"\.exec\(|_application|\bclick\(\)|import qt|DesktopSlicer", text)
    public = {name for name in vars(User) if not name.startswith("_")}
    used = {
        node.attr
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "user"
    }
    assert used <= public
