"""Slicer's own Python files, unmodified, over slicer-core: what slicer-core's wheel lacks.

`SLICER_SOURCE` names a checkout of Slicer, of a release or of main; else the files of the desktop Slicer are taken.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest


def source_folder() -> Path:
    """Return the folder that holds Slicer's package `slicer`; skips the test where there is none."""
    source, driver = os.environ.get("SLICER_SOURCE"), os.environ.get("MAGPIE_DESKTOP_SLICER")
    if source:
        folder = Path(source) / "Base" / "Python" / "slicer"
        assert folder.is_dir(), f"SLICER_SOURCE names {source}, which is no checkout of Slicer"
        return folder
    if driver:
        found = re.search(r'^ROOT = "(.*)"', (Path(driver) / "desktop_slicer.py").read_text(), re.MULTILINE)
        folder = Path(found[1] if found else "") / "slicer-bld" / "bin" / "Python" / "slicer"
        if folder.is_dir():
            return folder
    pytest.skip("needs Slicer's Python files: set SLICER_SOURCE to a checkout of Slicer")


def use_sources(slicer: Any, qt: types.ModuleType, widgets: dict[str, type]) -> None:
    """Make `slicer.util`, `slicer.i18n`, `slicer.ScriptedLoadableModule` and the like those of Slicer itself.

    Parameters
    ----------
    slicer
        slicer-core's package.
    qt
        Stands for PythonQt.
    widgets
        Classes of CTK's and Slicer's widgets by name; every other class that the files name is an empty one.
    """
    folder = source_folder()
    if slicer.__path__[0] == str(folder):
        return
    ctk = types.ModuleType("ctk")
    connectors = (folder / "parameterNodeWrapper" / "guiConnectors.py").read_text(encoding="utf-8")
    for owner, name in sorted(set(re.findall(r"\b(ctk|slicer)\.((?:ctk|qMRML|qSlicer)\w+)", connectors))):
        kind = widgets.get(name) or type(name, (), {})
        setattr(ctk if owner == "ctk" else slicer, name, kind)
    for name, kind in widgets.items():
        setattr(ctk if name.startswith("ctk") else slicer, name, kind)
    sys.modules["ctk"], sys.modules["qt"] = ctk, qt
    slicer.__path__.insert(0, str(folder))
    for name in ("util", "i18n", "ScriptedLoadableModule", "parameterNodeWrapper", "packaging"):
        sys.modules.pop(f"slicer.{name}", None)
        setattr(slicer, name, importlib.import_module(f"slicer.{name}"))
        assert Path(getattr(slicer, name).__file__).is_relative_to(folder)
