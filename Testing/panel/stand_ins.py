"""Stand-ins for the CTK and qMRML widgets of the panels, over the real MRML scene.

Tests on them verify which names, properties and signals of widgets the panels use, and what they do with nodes, but
not how Slicer's own widgets behave or look; see `Testing/desktop` and `docs/desktop-checklist.md`.
"""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets
from pythonqt import connect, disconnect, give_connect

Property, Signal = QtCore.Property, QtCore.Signal


class ctkCollapsibleButton(QtWidgets.QGroupBox):  # noqa: N801
    """A titled group that can be collapsed."""

    contentsCollapsed = Signal(bool)  # noqa: N815

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._collapsed = False

    def _set_collapsed(self, value: bool) -> None:
        self._collapsed = bool(value)
        self._fold()
        self.contentsCollapsed.emit(self._collapsed)

    def childEvent(self, event: Any) -> None:  # noqa: N802
        super().childEvent(event)
        QtCore.QTimer.singleShot(0, self._fold)

    def _fold(self) -> None:
        for child in self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindChildOption.FindDirectChildrenOnly):
            if self._collapsed:
                if not child.isHidden():
                    child.setProperty("_hiddenByFold", True)
                    child.setVisible(False)
            elif child.property("_hiddenByFold"):
                child.setProperty("_hiddenByFold", False)
                child.setVisible(True)

    collapsed = Property(bool, lambda self: self._collapsed, _set_collapsed)
    text = Property(
        str,
        lambda self: QtCore.QObject.property(self, "title"),
        lambda self, value: QtCore.QObject.setProperty(self, "title", value),
    )


class ctkPathLineEdit(QtWidgets.QWidget):  # noqa: N801
    """A line with a path, and a button to browse."""

    currentPathChanged = Signal(str)  # noqa: N815
    Dirs, Writable = 1, 2

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.line = QtWidgets.QLineEdit()
        button = QtWidgets.QToolButton()
        button.setText("...")
        layout.addWidget(self.line)
        layout.addWidget(button)
        self.line.textChanged.connect(self.currentPathChanged)
        self._filters = 0

    currentPath = Property(  # noqa: N815
        str,
        lambda self: QtCore.QObject.property(self.line, "text"),
        lambda self, value: QtCore.QObject.setProperty(self.line, "text", value),
    )
    filters = Property(int, lambda self: self._filters, lambda self, value: setattr(self, "_filters", int(value)))


class SceneWidget:
    """Base of all qMRML widgets."""

    scene: Any = None

    def setMRMLScene(self, scene: Any) -> None:  # noqa: N802
        """As in Slicer."""
        self.scene = scene
        self.sceneChanged()

    def mrmlScene(self) -> Any:  # noqa: N802
        """As in Slicer."""
        return self.scene

    def sceneChanged(self) -> None:  # noqa: N802
        """Another scene was set."""


class qMRMLWidget(SceneWidget, QtWidgets.QWidget):  # noqa: N801
    """Passes its scene to its qMRML widgets, as the connections of the .ui file do."""

    mrmlSceneChanged = Signal(object)  # noqa: N815
    SIGNALS = {"mrmlSceneChanged": "mrmlSceneChanged(vtkMRMLScene*)"}

    def sceneChanged(self) -> None:  # noqa: N802
        for child in self.findChildren(QtWidgets.QWidget):
            if isinstance(child, SceneWidget):
                child.setMRMLScene(self.scene)
        self.mrmlSceneChanged.emit(self.scene)


class qMRMLNodeComboBox(SceneWidget, QtWidgets.QComboBox):  # noqa: N801
    """A list of the scene's nodes of some types."""

    currentNodeChanged = Signal(object)  # noqa: N815
    SIGNALS = {"currentNodeChanged": "currentNodeChanged(vtkMRMLNode*)"}

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.options: dict[str, Any] = {"nodeTypes": [], "noneEnabled": False, "showChildNodeTypes": True}
        self._ids: list[str | None] = []
        self._tags: list[int] = []
        self._last: str | None = None
        self.currentIndexChanged.connect(lambda _index: self._emit_change())

    def sceneChanged(self) -> None:  # noqa: N802
        import slicer

        for event in ("NodeAddedEvent", "NodeRemovedEvent", "EndImportEvent", "EndCloseEvent"):
            self._tags.append(self.scene.AddObserver(getattr(slicer.vtkMRMLScene, event), lambda *_: self.refresh()))
        self.refresh()

    def release(self) -> None:
        """Remove the observers of the scene, at the end of a test."""
        for tag in self._tags:
            self.scene.RemoveObserver(tag)
        self._tags = []

    def refresh(self) -> None:
        """Update the list of nodes."""
        current = self._id()
        ids: list[str | None] = [None] if self.options["noneEnabled"] else []
        for index in range(self.scene.GetNumberOfNodes()):
            node = self.scene.GetNthNode(index)
            if self._fits(node) and not node.GetHideFromEditors():
                ids.append(node.GetID())
        blocked = self.blockSignals(True)
        self.clear()
        self._ids = ids
        for identifier in ids:
            self.addItem("None" if identifier is None else self.scene.GetNodeByID(identifier).GetName())
        self.setCurrentIndex(ids.index(current) if current in ids else (0 if ids else -1))
        self.blockSignals(blocked)
        self._emit_change()

    def _fits(self, node: Any) -> bool:
        if self.options["showChildNodeTypes"]:
            return any(node.IsA(kind) for kind in self.options["nodeTypes"])
        return node.GetClassName() in self.options["nodeTypes"]

    def _id(self) -> str | None:
        index = QtCore.QObject.property(self, "currentIndex")
        return self._ids[index] if 0 <= index < len(self._ids) else None

    def _emit_change(self) -> None:
        if self._id() != self._last:
            self._last = self._id()
            self.currentNodeChanged.emit(self.currentNode())

    def currentNode(self) -> Any:  # noqa: N802
        """As in Slicer."""
        identifier = self._id()
        return self.scene.GetNodeByID(identifier) if identifier and self.scene else None

    def setCurrentNode(self, node: Any) -> None:  # noqa: N802
        """As in Slicer."""
        identifier = node.GetID() if node is not None else None
        if identifier in self._ids:
            self.setCurrentIndex(self._ids.index(identifier))


def _option(name: str, kind: Any) -> Any:
    def write(self: Any, value: Any) -> None:
        self.options[name] = list(value) if kind == "QStringList" else value
        if self.scene is not None:
            self.refresh()

    return Property(kind, lambda self: self.options[name], write)


class NodeComboBox(qMRMLNodeComboBox):
    """With the properties that the .ui file sets."""

    nodeTypes = _option("nodeTypes", "QStringList")  # noqa: N815
    noneEnabled = _option("noneEnabled", bool)  # noqa: N815
    showChildNodeTypes = _option("showChildNodeTypes", bool)  # noqa: N815
    addEnabled = Property(bool, lambda self: False, lambda self, value: None)  # noqa: N815
    removeEnabled = Property(bool, lambda self: False, lambda self, value: None)  # noqa: N815


NodeComboBox.__name__ = NodeComboBox.__qualname__ = "qMRMLNodeComboBox"


class qMRMLSegmentEditorWidget(SceneWidget, QtWidgets.QWidget):  # noqa: N801
    """Records its nodes, its effect and its shortcuts; it edits nothing."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        QtWidgets.QVBoxLayout(self).addWidget(QtWidgets.QLabel("[Slicer's Segment Editor]"))
        self.undo_states = 0
        self.active_effect: Any = "Paint"
        self.has_shortcuts = False
        self.observes_views = True
        self._editor: Any = None
        self._segmentation: Any = None
        self._source: Any = None

    def setMaximumNumberOfUndoStates(self, count: int) -> None:  # noqa: N802
        """As in Slicer."""
        self.undo_states = count

    def setMRMLSegmentEditorNode(self, node: Any) -> None:  # noqa: N802
        """As in Slicer."""
        self._editor = node

    def setSegmentationNode(self, node: Any) -> None:  # noqa: N802
        """As in Slicer, where the editor node has to be set before."""
        assert node is None or self._editor is not None
        self._segmentation = node

    def setSourceVolumeNode(self, node: Any) -> None:  # noqa: N802
        """As in Slicer, where the segmentation has to be set before."""
        assert self._segmentation is not None
        self._source = node

    def setActiveEffect(self, effect: Any) -> None:  # noqa: N802
        """As in Slicer."""
        self.active_effect = effect

    def installKeyboardShortcuts(self) -> None:  # noqa: N802
        """As in Slicer."""
        self.has_shortcuts = True

    def uninstallKeyboardShortcuts(self) -> None:  # noqa: N802
        """As in Slicer."""
        self.has_shortcuts = False

    def removeViewObservations(self) -> None:  # noqa: N802
        """As in Slicer."""
        self.observes_views = False

    def segmentationNode(self) -> Any:  # noqa: N802
        """As in Slicer."""
        return self._segmentation

    def sourceVolumeNode(self) -> Any:  # noqa: N802
        """As in Slicer."""
        return self._source


class qSlicerSegmentEditorEffectFactory(QtCore.QObject):  # noqa: N801
    """Tells the editors that an effect was registered; none is here."""

    effectRegistered = Signal(str)  # noqa: N815
    _only: Any = None

    @classmethod
    def instance(cls) -> Any:
        """As in Slicer."""
        cls._only = cls._only or give_connect(cls())
        return cls._only


class qMRMLTableView(SceneWidget, QtWidgets.QTableWidget):  # noqa: N801
    """Shows the cells of a table node and follows its changes."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._tag: int | None = None

    def setMRMLTableNode(self, node: Any) -> None:  # noqa: N802
        """As in Slicer."""
        if self._node is not None:
            self._node.RemoveObserver(self._tag)
        self._node = node
        if node is not None:
            self._tag = node.AddObserver("ModifiedEvent", lambda *_: self.follow())
            self.follow()

    def mrmlTableNode(self) -> Any:  # noqa: N802
        """As in Slicer."""
        return self._node

    def follow(self) -> None:
        """Show the current cells of the node."""
        node = self._node
        self.setRowCount(node.GetNumberOfRows())
        self.setColumnCount(node.GetNumberOfColumns())
        names = [node.GetColumnName(n) for n in range(node.GetNumberOfColumns())]
        titled = node.GetUseColumnTitleAsColumnHeader()
        self.setHorizontalHeaderLabels([node.GetColumnTitle(name) if titled else name for name in names])
        for row in range(node.GetNumberOfRows()):
            for column in range(node.GetNumberOfColumns()):
                self.setItem(row, column, QtWidgets.QTableWidgetItem(node.GetCellText(row, column)))


WIDGETS: dict[str, type] = {
    "ctkCollapsibleButton": ctkCollapsibleButton,
    "ctkPathLineEdit": ctkPathLineEdit,
    "qMRMLWidget": qMRMLWidget,
    "qMRMLNodeComboBox": NodeComboBox,
    "qMRMLSegmentEditorWidget": qMRMLSegmentEditorWidget,
    "qMRMLTableView": qMRMLTableView,
    "qSlicerSegmentEditorEffectFactory": qSlicerSegmentEditorEffectFactory,
}
for _kind in WIDGETS.values():
    _kind.connect, _kind.disconnect = connect, disconnect  # type: ignore[attr-defined]

__all__ = ["WIDGETS", "give_connect"]
