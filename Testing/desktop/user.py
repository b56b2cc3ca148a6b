"""A user of a desktop Slicer: looks at widgets by name, and acts by mouse and keyboard of the X display alone."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_READING = '''
import qt as _qt

def magpie_widget(module, name):
    """The widget of a module's panel, or of a dialog (module ""), by its object name."""
    if module:
        return slicer.util.findChild(getattr(slicer.modules, module.lower()).widgetRepresentation(), name)
    return slicer.util.findChild(slicer.app.activeModalWidget() or slicer.util.mainWindow(), name)

def magpie_center(widget):
    point = widget.mapToGlobal(widget.rect.center())
    return [point.x(), point.y()]

def magpie_area(widget):
    """The part of the screen that shows a widget: its own scroll area's viewport, cut to the screen."""
    parent = widget.parentWidget()
    while parent is not None and parent.className() != "qSlicerModulePanel" and not parent.inherits("QScrollArea"):
        parent = parent.parentWidget()
    if parent is None:
        return None
    viewport = parent if not parent.inherits("QScrollArea") else parent.viewport()
    corner = viewport.mapToGlobal(_qt.QPoint(0, 0))
    return [corner.x(), corner.y(), viewport.width, viewport.height]

def magpie_place(module, name, edge=False):
    widget = magpie_widget(module, name)
    point = widget.mapToGlobal(_qt.QPoint(12, 10) if edge else widget.rect.center())
    under = slicer.app.widgetAt(point)
    while under is not None and under != widget:
        under = under.parentWidget()
    return dict(visible=widget.isVisible(), enabled=widget.isEnabled(), toolTip=widget.toolTip,
                point=[point.x(), point.y()], area=magpie_area(widget), reached=under is not None)

def magpie_table(module, name):
    model = magpie_widget(module, name).model()
    role = 0
    rows = [[model.data(model.index(r, c), role) for c in range(model.columnCount())] for r in range(model.rowCount())]
    return [[None if value is None else str(value) for value in row] for row in rows]

def magpie_item(module, name, text):
    """The place of a row in the open list of a combo box; None if it is not there."""
    combo = magpie_widget(module, name)
    view = combo.view() if hasattr(combo, "view") else slicer.util.findChildren(combo, className="QComboBox")[0].view()
    model = view.model()
    flags = _qt.Qt.MatchFixedString | _qt.Qt.MatchRecursive
    index = model.match(model.index(0, 0, view.rootIndex()), 0, text, 1, flags)
    if not index or not view.isVisible():
        return None
    point = view.viewport().mapToGlobal(view.visualRect(index[0]).center())
    return [point.x(), point.y()]

def magpie_dialog():
    """Title, text and buttons of the dialog that waits for an answer; None if there is none."""
    dialog = slicer.app.activeModalWidget()
    if dialog is None or not dialog.isVisible():
        return None
    buttons = [b for b in slicer.util.findChildren(dialog, className="QPushButton") if b.isVisible()]
    labels = [l for l in slicer.util.findChildren(dialog, className="QLabel") if l.isVisible()]
    return dict(title=dialog.windowTitle, text="\\n".join(l.text for l in labels),
                buttons={b.text.replace("&", ""): magpie_center(b) for b in buttons if b.isEnabled()})
'''


class User:
    """Someone in front of a desktop Slicer.

    Args:
        application: A started `DesktopSlicer`.
        pictures: Folder for pictures.
    """

    def __init__(self, application: Any, pictures: Path) -> None:
        self._application = application
        self._pictures = pictures
        application.exec(_READING)
        application.maximize()
        # A user reads the start page, and no tooltip hides what a picture is to show.
        self._move(800, 990)

    @property
    def log(self) -> str:
        """All that Slicer printed."""
        text: str = self._application.log
        return text

    def look(self, expression: str) -> Any:
        """Return the value of an expression in Slicer that changes nothing, by JSON."""
        return self._application.value(expression)

    def wait_for(self, expression: str, timeout_s: float = 240) -> None:
        """Wait until an expression is true in Slicer; a dialog that comes up meanwhile ends the waiting."""

        def is_true() -> bool:
            if self.look(f"bool({expression})"):
                return True
            dialog = None if "dialog" in expression else self.look("magpie_dialog()")
            asks = dialog is not None and dialog["buttons"]  # else it shows the progress of something
            assert not asks or self.look(f"bool({expression})"), f"waiting for {expression}, but: {dialog}"
            return False

        self._wait(is_true, expression, timeout_s)

    def open_module(self, title: str, name: str) -> None:
        """Open a module by Slicer's own search (Ctrl+F)."""
        self.key("ctrl+f")
        self._wait(
            lambda: (
                self.look("slicer.app.activeWindow() is not None and slicer.app.activeWindow().windowTitle")
                == "Module finder"
            ),
            "Module finder",
            20,
        )
        self.type_text(title)
        self.key("Return")
        self._wait(lambda: self.look("slicer.util.selectedModule()") == name, f"module {name}", 30)

    def place(self, module: str, name: str, *, edge: bool = False) -> dict[str, Any]:
        """Where the middle (or edge) of a widget is, whether it is visible and enabled, and its tool tip."""
        place: dict[str, Any] = self.look(f"magpie_place({module!r}, {name!r}, {edge})")
        return place

    def reach(self, module: str, name: str, *, edge: bool = False) -> tuple[int, int]:
        """Scroll the panel until the middle (or edge) of a widget can be seen; return that point on the screen."""
        for _ in range(80):
            place = self.place(module, name, edge=edge)
            assert place["visible"], f"{name} is not visible"
            x, y = place["point"]
            if place["reached"]:
                self._settle()
                if self.place(module, name, edge=edge)["point"] == [x, y]:
                    return x, y
                continue
            assert place["area"], f"{name} is covered"
            left, top, width, height = place["area"]
            self._move(left + width - 4, top + height // 2)
            self._application.xdotool("click", 4 if y < top + height // 2 else 5)
            time.sleep(0.05)
        raise AssertionError(f"{name} cannot be scrolled to")

    def click(self, module: str, name: str, *, button: int = 1) -> None:
        """Click the middle of a widget of a module's panel; it must be visible, enabled (soon) and uncovered."""
        x, y = self.reach(module, name)
        deadline = time.monotonic() + 10
        while not (place := self.place(module, name))["enabled"]:
            assert time.monotonic() < deadline, f"{name} is disabled: {place['toolTip']}"
            time.sleep(0.2)
        self.click_at(x, y, button=button)

    def click_edge(self, module: str, name: str) -> None:
        """Click near the left edge of a widget, e.g. the box of a check box or the header of a section."""
        self.click_at(*self.reach(module, name, edge=True))

    def click_at(self, x: int, y: int, *, button: int = 1) -> None:
        """Click a place of the screen."""
        self._move(x, y)
        self._application.xdotool("click", button)
        self._settle()

    def drag(self, points: list[tuple[int, int]], *, button: int = 1) -> None:
        """Press the mouse at the first point, move along the others, and release it."""
        self._move(*points[0])
        self._application.xdotool("mousedown", button)
        for x, y in points[1:]:
            self._move(x, y)
            time.sleep(0.03)
        self._application.xdotool("mouseup", button)
        time.sleep(0.1)

    def choose(self, module: str, name: str, text: str) -> None:
        """Choose an entry of a combo box by its text."""
        self.click(module, name)
        self._wait(lambda: self.look(f"magpie_item({module!r}, {name!r}, {text!r})") is not None, f"entry {text}", 10)
        self.click_at(*self.look(f"magpie_item({module!r}, {name!r}, {text!r})"))

    def type_text(self, text: str) -> None:
        """Type into what has the keyboard's focus."""
        self._application.xdotool("type", "--delay", 15, text)
        self._settle()

    def key(self, keys: str) -> None:
        """Press a key or a combination, as xdotool names them: "Return", "ctrl+s"."""
        self._application.xdotool("key", keys)
        self._settle()

    def dialog(self, timeout_s: float = 20) -> dict[str, Any]:
        """Wait for a dialog; return its title, text and the places of its buttons."""
        self._wait(lambda: self.look("magpie_dialog()") is not None, "a dialog", timeout_s)
        time.sleep(0.2)
        found: dict[str, Any] = self.look("magpie_dialog()")
        return found

    def answer(self, button: str, timeout_s: float = 20) -> dict[str, Any]:
        """Wait for a dialog, click one of its buttons, and return what the dialog said."""
        found = self.dialog(timeout_s)
        assert button in found["buttons"], found
        self.click_at(*found["buttons"][button])
        return found

    def quit(self) -> None:
        """Close Slicer's window; changes of the scene are discarded."""
        self.key("alt+F4")
        deadline = time.monotonic() + 30
        while self._application.alive:
            assert time.monotonic() < deadline, "Slicer does not exit"
            try:
                asked = self.look("magpie_dialog()")
            except RuntimeError:
                continue  # it ended while it was looked at
            for text, center in (asked or {}).get("buttons", {}).items():
                if text.startswith(("Exit", "OK")):
                    self.click_at(*center)
            time.sleep(0.2)

    def text(self, module: str, name: str) -> str:
        """The text of a label, button or line."""
        text: str = self.look(f"str(magpie_widget({module!r}, {name!r}).text)")
        return text

    def table(self, module: str, name: str) -> list[list[str | None]]:
        """The cells of a table."""
        cells: list[list[str | None]] = self.look(f"magpie_table({module!r}, {name!r})")
        return cells

    def picture(self, name: str) -> Path:
        """Keep a picture of the screen."""
        self._pictures.mkdir(parents=True, exist_ok=True)
        return Path(self._application.screenshot(str(self._pictures / f"{name}.png")))

    def _settle(self) -> None:
        """Wait until Slicer has seen what was done: it answers between its events."""
        time.sleep(0.1)
        with contextlib.suppress(RuntimeError):  # it may have been asked to exit
            self.look("0")

    def _move(self, x: int, y: int) -> None:
        self._application.xdotool("mousemove", int(x), int(y))

    def _wait(self, is_true: Callable[[], bool], what: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not is_true():
            assert time.monotonic() < deadline, f"not true after {timeout_s:.0f} s: {what}\n{self.log[-2000:]}"
            time.sleep(0.1)
