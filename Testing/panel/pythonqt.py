"""PySide6 with the conventions of PythonQt, by which code inside Slicer uses Qt.

Properties are attributes (`button.text = "..."`), signals are connected by their signature
(`button.connect("clicked(bool)", slot)`), slots may take fewer arguments than the signal gives. A misspelled signal or
property raises here, where PythonQt prints a line or adds a Python attribute.
"""

from __future__ import annotations

import inspect
import os
import types
from collections.abc import Callable
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

_MODULES = (QtCore, QtGui, QtWidgets, QtUiTools)
_connections: dict[tuple[int, str, Callable[..., Any]], Callable[..., Any]] = {}
_native_connect = QtCore.QObject.connect
_native_disconnect = QtCore.QObject.disconnect


def dress() -> types.ModuleType:
    """Change PySide6's classes, once, and return the module `qt`."""
    for module in _MODULES:
        for name in dir(module):  # PySide6 makes its classes when they are asked for
            kind = getattr(module, name)
            if isinstance(kind, type) and issubclass(kind, QtCore.QObject):
                give_properties(kind)
                if not name.startswith("QAbstract"):
                    _connect_by_signature(kind)
    qt = types.ModuleType("qt")
    for module in _MODULES:
        for name in dir(module):
            if name.startswith("Q"):
                setattr(qt, name, getattr(module, name))
    return qt


def give_properties(kind: type) -> None:
    """Qt's properties as attributes that can be read and set."""
    meta = kind.__dict__.get("staticMetaObject")
    if meta is None:
        return
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        declared = meta.property(index)
        name = declared.name()
        if (kind.__name__, name) == ("QTimer", "singleShot"):
            continue  # a static method of the same name
        setattr(kind, name, _attribute(name, declared.isWritable()))
        if name == "objectName":
            kind.name = _attribute(name, True)  # type: ignore[attr-defined]


def _attribute(name: str, writable: bool) -> property:
    def read(self: QtCore.QObject) -> Any:
        return QtCore.QObject.property(self, name)

    def write(self: QtCore.QObject, value: Any) -> None:
        if not QtCore.QObject.setProperty(self, name, value):
            raise TypeError(f"{type(self).__name__}.{name} cannot be {value!r}")

    return property(read, write if writable else None)


def _connect_by_signature(kind: type) -> None:
    """PySide6 looks `connect` up in its own way: an attribute of the object is honored, one of the class is not."""
    initialize = kind.__init__

    def __init__(self: Any, *arguments: Any, **options: Any) -> None:
        initialize(self, *arguments, **options)
        give_connect(self)

    kind.__init__ = __init__  # type: ignore[misc]


def give_connect(widget: Any) -> Any:
    """Let signals of an object be connected by signature."""
    widget.connect = types.MethodType(connect, widget)
    widget.disconnect = types.MethodType(disconnect, widget)
    return widget


def connect(self: Any, signal: Any, slot: Any, *rest: Any) -> Any:
    """Connect a signal, named by its signature, to a Python callable.

    Raises
    ------
    ValueError
        If there is no such signal.
    """
    if not isinstance(signal, str) or signal.startswith("2"):
        return (
            _native_connect(signal, slot, *rest)
            if isinstance(signal, QtCore.QObject)
            else _native_connect(self, signal, slot, *rest)
        )
    wrapped = _fewer_arguments(slot)
    _connections[id(self), signal, slot] = wrapped
    signature = QtCore.QMetaObject.normalizedSignature(signal).data().decode()
    if self.metaObject().indexOfSignal(signature) >= 0:
        _native_connect(self, "2" + signature, wrapped)
        return True
    name = signal.partition("(")[0]
    declared = getattr(self, "SIGNALS", {})
    if declared.get(name) != signal:  # a stand-in's signal carries VTK objects, which Qt has no type for
        raise ValueError(f"{type(self).__name__} has no signal {signal}")
    getattr(self, name).connect(wrapped)
    return True


def disconnect(self: Any, signal: Any, slot: Any = None, *rest: Any) -> Any:
    """Undo `connect`."""
    if not isinstance(signal, str) or signal.startswith("2"):
        return (
            _native_disconnect(signal, slot, *rest)
            if isinstance(signal, QtCore.QObject)
            else _native_disconnect(self, signal, slot, *rest)
        )
    wrapped = _connections.pop((id(self), signal, slot))
    signature = QtCore.QMetaObject.normalizedSignature(signal).data().decode()
    if self.metaObject().indexOfSignal(signature) >= 0:
        _native_disconnect(self, "2" + signature, wrapped)
    else:
        getattr(self, signal.partition("(")[0]).disconnect(wrapped)
    return True


def _fewer_arguments(slot: Callable[..., Any]) -> Callable[..., Any]:
    try:
        parameters = inspect.signature(slot).parameters.values()
    except (ValueError, TypeError):
        return slot
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return slot
    count = sum(
        parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD) for parameter in parameters
    )
    return lambda *values: slot(*values[:count])
