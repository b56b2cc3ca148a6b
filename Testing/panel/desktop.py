"""An off-screen desktop for the panels: PySide6 over slicer-core.

Stand-ins of desktop Slicer, which the tests here do not verify: the widgets of `stand_ins`, the base classes of
scripted modules, `parameterNodeWrapper` (for the types that the panels use), `slicer.util.loadUI` and the display of
errors. `Testing/desktop` runs the panels in the real application.
"""

from __future__ import annotations

import re
import sys
import types
import typing
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets
from pythonqt import dress, give_connect
from stand_ins import WIDGETS

qt = dress()
application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["magpie"])
_alive: list[Any] = []  # children of a loaded form: keeps their Python wrappers, and with them their connections


class UiLoader(QtUiTools.QUiLoader):
    """Reads .ui files with the stand-ins; a widget class without a stand-in is an error."""

    def __init__(self) -> None:
        super().__init__()
        for kind in WIDGETS.values():
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


class WithinRange:
    """Validator of `slicer.parameterNodeWrapper`: a number between two bounds, both included."""

    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value: float) -> None:
        """Raise a ValueError outside of the range."""
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within [{self.minimum}, {self.maximum}], is {value}")


def parameter_node_wrapper(kind: type) -> type:
    """Typed values of a vtkMRMLScriptedModuleNode that are connected to widgets by their property SlicerParameterName.

    As Slicer's: missing values are written with their default, the type and the validators are checked at each write,
    a widget without a connector is a RuntimeError, and the widgets follow the node in both directions.
    """
    hints = typing.get_type_hints(kind, include_extras=True)
    parameters = {name: _Parameter(name, hint, getattr(kind, name, None)) for name, hint in hints.items()}

    def start(self: Any, node: Any) -> None:
        self.parameterNode = node
        self.observer = None
        for parameter in parameters.values():
            if not parameter.is_in(node):
                parameter.write(node, parameter.default)

    def connect_gui(self: Any, ui: Any) -> int:
        updates = []
        for widget in vars(ui).values():
            name = widget.property("SlicerParameterName") if isinstance(widget, QtCore.QObject) else None
            if name and name not in parameters:
                raise ValueError(f"Cannot find a param with the given name: {name}")
            if name:
                updates.append(_connect(self, parameters[name], widget))
        self.observer = self.parameterNode.AddObserver("ModifiedEvent", lambda *_: [one() for one in updates])
        return 0

    def disconnect_gui(self: Any, tag: int) -> None:
        self.parameterNode.RemoveObserver(self.observer)
        self.observer = None

    members: dict[str, Any] = {"__init__": start, "connectGui": connect_gui, "disconnectGui": disconnect_gui}
    for parameter in parameters.values():
        members[parameter.name] = property(
            lambda self, parameter=parameter: parameter.read(self.parameterNode),
            lambda self, value, parameter=parameter: parameter.write(self.parameterNode, value),
        )
    return type(kind.__name__, (), members)


class _Parameter:
    """A value of a parameter node: a str, int, float or bool as text, a node as a reference."""

    def __init__(self, name: str, hint: Any, default: Any) -> None:
        annotated = typing.get_origin(hint) is typing.Annotated
        self.name = name
        self.kind, *self.validators = typing.get_args(hint) if annotated else (hint,)
        self.is_plain = self.kind in (str, int, float, bool)
        self.default = self.kind() if default is None and self.is_plain else default

    def is_in(self, node: Any) -> bool:
        return not self.is_plain or node.GetParameter(self.name) != ""

    def read(self, node: Any) -> Any:
        if not self.is_plain:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        return text == "true" if self.kind is bool else self.kind(text)

    def write(self, node: Any, value: Any) -> None:
        if not (isinstance(value, self.kind) or (value is None and not self.is_plain)):
            raise TypeError(f"Value must be of type '{self.kind}', is type '{type(value)}' value '{value}'")
        for validator in self.validators:
            validator.validate(value)
        if self.is_plain:
            node.SetParameter(self.name, str(value).lower() if self.kind is bool else str(value))
        else:
            node.SetNodeReferenceID(self.name, None if value is None else value.GetID())


# Widget class, type of the value, signal, and property; nodes have no property.
_CONNECTORS = (
    (QtWidgets.QCheckBox, bool, "toggled(bool)", "checked"),
    (QtWidgets.QSpinBox, int, "valueChanged(int)", "value"),
    (WIDGETS["qMRMLNodeComboBox"], None, "currentNodeChanged(vtkMRMLNode*)", ""),
)


def _connect(parameters: Any, parameter: _Parameter, widget: Any) -> Callable[[], None]:
    """Connect a value with a widget in both directions; returns the function that updates the widget."""
    wanted = parameter.kind if parameter.is_plain else None
    found = [one for one in _CONNECTORS if isinstance(widget, one[0]) and one[1] is wanted]
    if not found:
        raise RuntimeError(f"Unable to create GUI connector from {type(widget)} to {parameter.kind}")
    _, kind, signal, name = found[0]
    if kind is int:
        ranges = [one for one in parameter.validators if isinstance(one, WithinRange)]
        widget.setRange(*((ranges[0].minimum, ranges[0].maximum) if ranges else (-(2**31), 2**31 - 1)))

    def update() -> None:
        value = parameter.read(parameters.parameterNode)
        if name:
            setattr(widget, name, value)
        else:
            widget.setCurrentNode(value)

    def changed(*_: Any) -> None:
        if parameters.observer is not None:
            value = getattr(widget, name) if name else widget.currentNode()
            parameter.write(parameters.parameterNode, value)

    update()
    widget.connect(signal, changed)
    return update


def install(slicer: Any, monkeypatch: Any) -> types.SimpleNamespace:
    """Add the desktop parts to `slicer`; returns a record of what was shown to the user."""
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
    wrapper.WithinRange = WithinRange  # type: ignore[attr-defined]
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
    monkeypatch.setattr(slicer.app, "connect", lambda signal, slot: shown.connected.append(signal), raising=False)
    settings = QtCore.QSettings(str(Path(slicer.app.temporaryPath) / "settings.ini"), QtCore.QSettings.Format.IniFormat)
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
