"""A desktop of our own for the panels: PySide6 off-screen over slicer-core.

What stands in for desktop Slicer here, and so is not proven: the widgets of `stand_ins`, the base classes of scripted
modules, `parameterNodeWrapper` (values and widgets tied as its documentation says, for the kinds that the panels use),
`slicer.util.loadUI` and the display of errors.
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
from stand_ins import WIDGETS

qt = dress()
application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["magpie"])
_alive: list[
    Any
] = []  # children of a loaded form: their Python halves would go, and their connections with them


class UiLoader(QtUiTools.QUiLoader):
    """Reads .ui files with the stand-ins; a widget class without one is an error."""

    def __init__(self) -> None:
        super().__init__()
        for kind in WIDGETS.values():
            self.registerCustomWidget(kind)

    def read(self, path: str | Path) -> Any:
        """The top widget of a form."""
        text = Path(path).read_text(encoding="utf-8")
        used = {widget.get("class", "") for widget in ElementTree.fromstring(text).iter("widget")}
        unknown = {name for name in used if name not in WIDGETS and not hasattr(QtWidgets, name)}
        if unknown:
            raise ValueError(f"no stand-in for {', '.join(sorted(unknown))}")
        # QUiLoader knows neither ctk's flags nor signals that carry VTK's objects; qMRMLWidget hands on its scene.
        text = re.sub(r'<property name="filters">.*?</property>', "", text, flags=re.DOTALL)
        text = re.sub(r"<connections>.*?</connections>", "", text, flags=re.DOTALL)
        buffer = QtCore.QBuffer()
        buffer.setData(text.encode())
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        form = self.load(buffer)
        for child in [form, *form.findChildren(QtCore.QObject)]:
            _alive.append(give_connect(child))
        return form


def parameter_node_wrapper(kind: type) -> type:
    """Values kept in a vtkMRMLScriptedModuleNode, tied to widgets by their property SlicerParameterName."""
    fields = dict(kind.__annotations__)
    defaults = {name: getattr(kind, name) for name in fields if hasattr(kind, name)}

    def start(self: Any, node: Any) -> None:
        self.parameterNode = node
        self._ties = []

    def tie(self: Any, ui: Any) -> int:
        for widget in vars(ui).values():
            name = widget.property("SlicerParameterName") if isinstance(widget, QtCore.QObject) else None
            if name:
                assert name in fields, f"{name} is not in the parameter node"
                self._ties.append(_Tie(self, name, widget))
        return 1

    def untie(self: Any, tag: int) -> None:
        for item in self._ties:
            item.open = False
        self._ties = []

    members: dict[str, Any] = {"__init__": start, "connectGui": tie, "disconnectGui": untie}
    for name, value_kind in fields.items():
        members[name] = _stored(name, value_kind, defaults.get(name))
    return type(kind.__name__, (), members)


def _stored(name: str, kind: Any, default: Any) -> property:
    if kind in (str, int, float, bool):

        def read(self: Any) -> Any:
            text = self.parameterNode.GetParameter(name)
            if text == "":
                return default
            return text == "true" if kind is bool else kind(text)

        def write(self: Any, value: Any) -> None:
            self.parameterNode.SetParameter(name, str(value).lower() if kind is bool else str(value))

    else:

        def read(self: Any) -> Any:
            return self.parameterNode.GetNodeReference(name)

        def write(self: Any, value: Any) -> None:
            self.parameterNode.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    return property(read, write)


class _Tie:
    """One value and its widget."""

    _WAYS = (
        (WIDGETS["qMRMLNodeComboBox"], "currentNodeChanged(vtkMRMLNode*)", ""),
        (QtWidgets.QCheckBox, "toggled(bool)", "checked"),
        (QtWidgets.QSpinBox, "valueChanged(int)", "value"),
    )

    def __init__(self, parameters: Any, name: str, widget: Any) -> None:
        self.open = True
        ways = [way for way in self._WAYS if isinstance(widget, way[0])]
        if not ways:
            raise TypeError(f"no tie for a {type(widget).__name__}")
        _, signal, attribute = ways[0]
        if attribute:
            setattr(widget, attribute, getattr(parameters, name))
        else:
            widget.setCurrentNode(getattr(parameters, name))

        def changed(value: Any) -> None:
            if self.open:
                setattr(parameters, name, value)

        widget.connect(signal, changed)


def install(slicer: Any, monkeypatch: Any) -> types.SimpleNamespace:
    """Give `slicer` what it has on the desktop; returns what the user was shown."""
    shown = types.SimpleNamespace(errors=[], background=None, modules=[], connected=[], layouts=[])
    shown.setLayout = shown.layouts.append

    class Module:
        def __init__(self, parent: Any) -> None:
            self.parent = parent

    class ModuleWidget:
        def __init__(self, parent: Any = None) -> None:
            self.parent = parent
            self.layout = parent.layout()

        def setup(self) -> None:
            pass

        def resourcePath(self, name: str) -> str:  # noqa: N802
            return str(Path(sys.modules[type(self).__module__].__file__ or "").parent / "Resources" / name)

    class ModuleLogic:
        def __init__(self, parent: Any = None) -> None:
            pass

        def getParameterNode(self) -> Any:  # noqa: N802
            kind, name = "vtkMRMLScriptedModuleNode", type(self).__name__.removesuffix("Logic")
            found = slicer.mrmlScene.GetSingletonNode(name, kind)
            if found is None:
                node = slicer.vtkMRMLScriptedModuleNode()
                node.SetSingletonTag(name)
                found = slicer.mrmlScene.AddNode(node)
            return found

    scripted = types.ModuleType("slicer.ScriptedLoadableModule")
    scripted.ScriptedLoadableModule = Module  # type: ignore[attr-defined]
    scripted.ScriptedLoadableModuleWidget = ModuleWidget  # type: ignore[attr-defined]
    scripted.ScriptedLoadableModuleLogic = ModuleLogic  # type: ignore[attr-defined]
    scripted.ScriptedLoadableModuleTest = type("ScriptedLoadableModuleTest", (), {})  # type: ignore[attr-defined]
    wrapper = types.ModuleType("slicer.parameterNodeWrapper")
    wrapper.parameterNodeWrapper = parameter_node_wrapper  # type: ignore[attr-defined]
    for module in (scripted, wrapper):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, "qt", qt)
    sys.modules["slicer.i18n"].translate = lambda context, text: text  # type: ignore[attr-defined]

    def variables(form: Any) -> types.SimpleNamespace:
        return types.SimpleNamespace(
            **{
                child.objectName: child
                for child in form.findChildren(QtWidgets.QWidget)
                if child.objectName and not child.objectName.startswith("qt_")
            }
        )

    def show(background: Any = None, foreground: Any = None, **options: Any) -> None:
        shown.background = background or shown.background
        shown.foreground = foreground

    monkeypatch.setattr(slicer.util, "loadUI", lambda path: UiLoader().read(path), raising=False)
    monkeypatch.setattr(slicer.util, "childWidgetVariables", variables, raising=False)
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, **options: shown.errors.append(text))
    monkeypatch.setattr(slicer.util, "setSliceViewerLayers", show)
    monkeypatch.setattr(
        slicer.app, "connect", lambda signal, slot: shown.connected.append(signal), raising=False
    )
    settings = QtCore.QSettings(
        str(Path(slicer.app.temporaryPath) / "settings.ini"), QtCore.QSettings.Format.IniFormat
    )
    settings.clear()
    monkeypatch.setattr(slicer.app, "userSettings", lambda: settings, raising=False)
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
    getattr(module, name)(types.SimpleNamespace())
    widget = getattr(module, f"{name}Widget")(parent)
    widget.setup()
    return widget
