"""An older Slicer gets one sentence in place of a panel, not a traceback."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = ("MagpieSegmentation", "MagpieTraining")


@pytest.mark.parametrize("name", MODULES)
def test_an_older_slicer_shows_a_sentence(desktop, monkeypatch, name):
    import desktop as stand_in

    monkeypatch.setattr(desktop.slicer.app, "minorVersion", 10)
    monkeypatch.setattr(desktop.slicer.app, "applicationVersion", "5.10.0")
    for module in [module for module in sys.modules if module.startswith("Magpie")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.syspath_prepend(str(REPOSITORY / name))
    widget = stand_in.open_module(desktop.slicer, REPOSITORY / name / f"{name}.py")
    texts = [widget.layout.itemAt(index).widget() for index in range(widget.layout.count())]
    assert [label.text for label in texts if label is not None] == [
        "MAGPIE needs Slicer 5.12 or later; this is Slicer 5.10.0. Install the current Slicer."
    ]
    for method in (widget.enter, widget.exit, widget.cleanup):
        method()
    loaded = {module for module in sys.modules if module.startswith("Magpie") and "." in module}
    assert loaded == {"MagpieSegmentationLib.CorePackage", "MagpieSegmentationLib.SupportedSlicer"}
    assert desktop.connected == []


@pytest.mark.parametrize(
    "path",
    [
        *(f"{name}/{name}.py" for name in MODULES),
        *(f"MagpieSegmentation/MagpieSegmentationLib/{name}.py" for name in ("__init__", "CorePackage")),
        "MagpieSegmentation/MagpieSegmentationLib/SupportedSlicer.py",
    ],
)
def test_what_an_older_slicer_reads_is_python_3_9(path):
    ast.parse((REPOSITORY / path).read_text(encoding="utf-8"), feature_version=(3, 9))
