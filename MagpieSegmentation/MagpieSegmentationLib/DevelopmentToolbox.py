"""Widgets of SlicerDevelopmentToolbox where it is installed and works, else those of Slicer itself."""

import importlib.util
import logging

import qt
import slicer
from slicer.i18n import tr as _

_PACKAGE = "SlicerDevelopmentToolboxUtils"
_FOUR_UP, _SIDE_BY_SIDE = 3, 29  # vtkMRMLLayoutNode


class DevelopmentToolbox:
    """Buttons for the layout and the crosshair, and the rating dialog."""

    def viewButtons(self):
        """Return buttons for the four-up layout, the side-by-side layout, and the crosshair."""
        buttons = self._firstThatWorks(_toolboxButtons, _ownButtons)
        names = {
            "fourUpButton": _("Four views"),
            "sideBySideButton": _("Side by side"),
            "crosshairButton": _("Crosshair"),
        }
        for button, (name, text) in zip(buttons, names.items(), strict=True):
            button.objectName = name
            button.toolTip = button.accessibleName = text
        return buttons

    def askRating(self, largest=5):
        """Ask for a rating of the proposal, 1 to `largest`; None if the user cancels."""
        text = _("How good was the proposal, from 1 (useless) to {n} (perfect)?").format(n=largest)
        return self._firstThatWorks(lambda: _toolboxRating(largest, text), lambda: _ownRating(largest, text))

    @staticmethod
    def _firstThatWorks(toolbox, own):
        """Call `toolbox` if the extension is installed; `own` if it is not, or if it fails in whatever way."""
        if importlib.util.find_spec(_PACKAGE) is not None:
            try:
                return toolbox()
            except Exception as failure:
                logging.warning("MAGPIE does without SlicerDevelopmentToolbox: %s", failure)
        return own()


def _toolboxButtons():
    from SlicerDevelopmentToolboxUtils.buttons import CrosshairButton, FourUpLayoutButton, SideBySideLayoutButton

    return [_tamed(kind)() for kind in (FourUpLayoutButton, SideBySideLayoutButton, CrosshairButton)]


def _toolboxRating(largest, text):
    from SlicerDevelopmentToolboxUtils.widgets import RatingMessageBox

    box = _tamed(RatingMessageBox)(largest, text, slicer.util.mainWindow())
    box.windowTitle = _("Rating")
    box.disableWidgetCheckbox.hide()  # the user asked for this window
    box.ratingScore = None  # it sets this when a star is clicked
    box.exec_()
    box.deleteLater()
    return box.ratingScore


def _tamed(widget):
    """Return a class of the toolbox that adds no node to the scene and does not crash Slicer at its exit."""

    class Tamed(widget):
        def getParameterNode(self):
            """The node that carries its events; by default the toolbox adds one to the scene."""
            return slicer.vtkMRMLScriptedModuleNode()

        def __del__(self):
            """That of the toolbox uses the Qt object, which is deleted already when Slicer exits."""

    return Tamed


def _ownButtons():
    return [
        _button(_("Four views"), lambda: _setLayout(_FOUR_UP)),
        _button(_("Side by side"), lambda: _setLayout(_SIDE_BY_SIDE)),
        _button(_("Crosshair"), _toggleCrosshair),
    ]


def _ownRating(largest, text):
    # Not QInputDialog.getInt: in PythonQt it returns a number even if the user cancels.
    dialog = qt.QInputDialog(slicer.util.mainWindow())
    dialog.windowTitle = _("Rating")
    dialog.setLabelText(text)
    dialog.setInputMode(qt.QInputDialog.IntInput)
    dialog.setIntRange(1, largest)
    dialog.setIntValue(largest)
    return dialog.intValue() if dialog.exec_() else None


def _button(text, action):
    button = qt.QPushButton(text)
    button.connect("clicked(bool)", lambda *_ignored: action())
    return button


def _setLayout(layout):
    manager = slicer.app.layoutManager()
    if manager is not None:
        manager.setLayout(layout)


def _toggleCrosshair():
    for node in slicer.util.getNodesByClass("vtkMRMLCrosshairNode"):
        shown = node.GetCrosshairMode() != node.NoCrosshair
        node.SetCrosshairMode(node.NoCrosshair if shown else node.ShowIntersection)
