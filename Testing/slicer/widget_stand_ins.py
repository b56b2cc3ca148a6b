"""Plain objects in the place of Qt's, to see what the panel does with its widgets.

They prove the panel's own decisions: what is enabled, what is said, what is started. They do not prove that the
widgets exist, are spelt so, or look right; names are checked against the .ui file elsewhere, and the rest needs Qt.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any


class Widget:
    """Any widget: remembers what it is told, and can be pressed."""

    def __init__(self) -> None:
        self.text = self.toolTip = ""
        self.enabled = self.visible = True
        self.value = 0
        self._slots: list[Callable[..., Any]] = []

    def connect(self, signal: str, slot: Callable[..., Any]) -> None:
        """Call `slot` on any signal."""
        self._slots.append(slot)

    def press(self) -> None:
        """As the user does: only what is enabled can be pressed."""
        assert self.enabled, f"cannot be pressed: {self.toolTip}"
        self.emit(True)

    def emit(self, *values: Any) -> None:
        """Call the slots."""
        for slot in self._slots:
            slot(*values)


class NodeSelector(Widget):
    """qMRMLNodeComboBox, as far as choosing goes."""

    def __init__(self) -> None:
        super().__init__()
        self._node: Any = None

    def currentNode(self) -> Any:  # noqa: N802
        return self._node

    def setCurrentNode(self, node: Any) -> None:  # noqa: N802
        self._node = node
        self.emit(node)


class Table(Widget):
    """QTableWidget with texts."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []

    def setRowCount(self, count: int) -> None:  # noqa: N802
        self.rows = [["", ""] for _ in range(count)]

    def setItem(self, row: int, column: int, item: str) -> None:  # noqa: N802
        self.rows[row][column] = item


class Timer(Widget):
    """QTimer that ticks when told to."""

    def setInterval(self, interval_ms: int) -> None:  # noqa: N802
        self.interval_ms = interval_ms

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False


def parameter_node_wrapper(kind: type) -> type:
    """slicer.parameterNodeWrapper: node references of a vtkMRMLScriptedModuleNode, tied to the selectors."""
    names = list(kind.__annotations__)

    def __init__(self: Any, node: Any) -> None:
        self.parameterNode = node

    def connect_gui(self: Any, ui: Any) -> int:
        for name in names:
            selector = getattr(ui, f"{name}Selector", None)
            if selector is not None:
                selector.setCurrentNode(getattr(self, name))
                selector.connect("", lambda chosen, name=name: setattr(self, name, chosen))
        return 1

    wrapped = type(kind.__name__, (), {"__init__": __init__, "connectGui": connect_gui})
    wrapped.disconnectGui = lambda self, tag: None
    for name in names:

        def read(self: Any, name: str = name) -> Any:
            return self.parameterNode.GetNodeReference(name)

        def write(self: Any, node: Any, name: str = name) -> None:
            self.parameterNode.SetNodeReferenceID(name, node.GetID() if node is not None else None)

        setattr(wrapped, name, property(read, write))
    return wrapped


def stand_in_modules() -> dict[str, types.ModuleType]:
    """The modules that desktop Slicer has and slicer-core lacks, by name."""
    import slicer

    class Module:
        def __init__(self, parent: Any) -> None:
            self.parent = parent

    class ModuleWidget:
        def __init__(self, parent: Any = None) -> None:
            self.parent = parent
            self.layout = types.SimpleNamespace(addWidget=lambda widget: None)

        def setup(self) -> None:
            pass

        def resourcePath(self, name: str) -> str:  # noqa: N802
            return f"{self.resources}/{name}"

    class ModuleLogic:
        def __init__(self, parent: Any = None) -> None:
            pass

        def getParameterNode(self) -> Any:  # noqa: N802
            kind, name = "vtkMRMLScriptedModuleNode", "parameters"
            found = slicer.util.getFirstNodeByName(name, kind)
            return found or slicer.mrmlScene.AddNewNodeByClass(kind, name)

    scripted = types.ModuleType("slicer.ScriptedLoadableModule")
    scripted.ScriptedLoadableModule = Module
    scripted.ScriptedLoadableModuleWidget = ModuleWidget
    scripted.ScriptedLoadableModuleLogic = ModuleLogic
    scripted.ScriptedLoadableModuleTest = type("ScriptedLoadableModuleTest", (), {})
    wrapper = types.ModuleType("slicer.parameterNodeWrapper")
    wrapper.parameterNodeWrapper = parameter_node_wrapper
    qt = types.ModuleType("qt")
    qt.QTimer, qt.QTableWidgetItem = Timer, str
    sys.modules["slicer.i18n"].translate = lambda context, text: text
    return {module.__name__: module for module in (scripted, wrapper, qt)}
