"""An off-screen desktop for the panels: PySide6 over slicer-core.

Slicer's Python files (base classes of scripted modules, `parameterNodeWrapper`, `slicer.util`, translation) are its
own. Stand-ins, which the tests here do not verify: the widgets of `stand_ins`, `slicer.util.loadUI`, `slicer.app` and
the display of errors. `Testing/desktop` runs the panels in the real application.
"""

from __future__ import annotations

import re
import sys
import types
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets
from pythonqt import dress, give_connect
from slicer_sources import use_sources
from stand_ins import WIDGETS

qt = dress()
application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["magpie"])
_alive: list[Any] = []  # children of a loaded form: keeps their Python wrappers, and with them their connections


class UiLoader(QtUiTools.QUiLoader):
    """Reads .ui files with the stand-ins; a widget class without a stand-in is an error."""

    def __init__(self) -> None:
        super().__init__()
        for kind in WIDGETS.values():
            if issubclass(kind, QtWidgets.QWidget):
                self.registerCustomWidget(kind)

    def read(self, path: str | Path) -> Any:
        """Return the top widget of a form."""
        text = Path(path).read_text(encoding="utf-8")
        used = {widget.get("class", "") for widget in ElementTree.fromstring(text).iter("widget")}
        unknown = {name for name in used if name not in WIDGETS and not hasattr(QtWidgets, name)}
        if unknown:
            raise ValueError(f"no stand-in for {', '.join(sorted(unknown))}")
        # QUiLoader supports neither the flags of CTK nor signals with VTK objects; qMRMLWidget passes its scene on.
        text = re.sub(r'<property name="filters">.*?</property>', "", text, flags=re.DOTALL)
        text = re.sub(r"<connections>.*?</connections>", "", text, flags=re.DOTALL)
        buffer = QtCore.QBuffer()
        buffer.setData(text.encode())
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        form = self.load(buffer)
        for child in [form, *form.findChildren(QtCore.QObject)]:
            _alive.append(give_connect(child))
        return form


class ModuleManager(QtCore.QObject):
    """Tells the modules that they are about to be unloaded."""

    moduleAboutToBeUnloaded = QtCore.Signal(str)  # noqa: N815

    def __init__(self) -> None:
        super().__init__()
        give_connect(self)


def install(slicer: Any, monkeypatch: Any) -> types.SimpleNamespace:
    """Add the desktop parts to `slicer`; returns a record of what was shown to the user."""
    use_sources(slicer, qt, WIDGETS)
    shown = types.SimpleNamespace(errors=[], background=None, modules=[], connected=[], layouts=[])
    shown.setLayout = shown.layouts.append
    shown.threeDViewCount = 0

    def show(background: Any = None, foreground: Any = None, **options: Any) -> None:
        shown.background = background or shown.background
        shown.foreground = foreground

    monkeypatch.setattr(slicer.util, "loadUI", lambda path: UiLoader().read(path), raising=False)
    monkeypatch.setattr(slicer.util, "mainWindow", lambda: None)
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, **options: shown.errors.append(text))
    monkeypatch.setattr(slicer.util, "setSliceViewerLayers", show)
    monkeypatch.setattr(slicer.app, "connect", lambda signal, slot: shown.connected.append(signal), raising=False)
    settings = QtCore.QSettings(str(Path(slicer.app.temporaryPath) / "settings.ini"), QtCore.QSettings.Format.IniFormat)
    settings.clear()
    monkeypatch.setattr(slicer.app, "userSettings", lambda: settings, raising=False)
    manager = ModuleManager()
    monkeypatch.setattr(slicer.app, "moduleManager", lambda: manager, raising=False)
    monkeypatch.setattr(slicer.app, "layoutManager", lambda: shown, raising=False)
    monkeypatch.setattr(slicer.util, "selectModule", shown.modules.append, raising=False)
    return shown


def open_module(slicer: Any, path: Path) -> Any:
    """Open a scripted module as Slicer does; returns its widget."""
    import importlib.util

    name = path.stem
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    parent = WIDGETS["qMRMLWidget"]()
    give_connect(parent)
    QtWidgets.QVBoxLayout(parent)
    parent.setMRMLScene(slicer.mrmlScene)
    parent.isEntered = True
    _alive.append(parent)
    entry = types.SimpleNamespace(path=str(path))
    setattr(slicer.modules, name.lower(), entry)
    getattr(module, name)(entry)
    widget = getattr(module, f"{name}Widget")(parent)
    widget.setup()
    return widget
