"""Widgets of SlicerDevelopmentToolbox if it is installed, else equivalents of Slicer itself."""

import importlib.util

import qt
import slicer
from slicer.i18n import tr as _

_PACKAGE = "SlicerDevelopmentToolboxUtils"
_FOUR_UP, _CONVENTIONAL = 3, 2  # vtkMRMLLayoutNode


class DevelopmentToolbox:
    """Buttons for the layout and the crosshair, and the rating dialog."""

    @staticmethod
    def isAvailable():
        """Whether the toolbox is installed."""
        return importlib.util.find_spec(_PACKAGE) is not None

    def viewButtons(self):
        """Return buttons for the four-up layout, the conventional layout, and the crosshair."""
        if self.isAvailable():
            from SlicerDevelopmentToolboxUtils.buttons import (
                CrosshairButton,
                FourUpLayoutButton,
                SideBySideLayoutButton,
            )

            return [FourUpLayoutButton(), SideBySideLayoutButton(), CrosshairButton()]
        return [
            self._button(_("Four views"), lambda: self._setLayout(_FOUR_UP)),
            self._button(_("Conventional views"), lambda: self._setLayout(_CONVENTIONAL)),
            self._button(_("Crosshair"), self._toggleCrosshair),
        ]

    def askRating(self, largest=5):
        """Ask for a rating of the proposal, 1 to `largest`; None if the user cancels."""
        if self.isAvailable():
            from SlicerDevelopmentToolboxUtils.widgets import RatingWindow

            window = RatingWindow(largest)
            return window.rating if window.exec_() else None
        text = _("How good was the proposal, from 1 (useless) to {n} (perfect)?").format(n=largest)
        value = qt.QInputDialog.getInt(None, _("Rating"), text, largest, 1, largest)
        # PythonQt returns the number alone, other bindings also whether the dialog was accepted.
        number, accepted = value if isinstance(value, tuple) else (value, True)
        return number if accepted else None

    @staticmethod
    def _button(text, action):
        button = qt.QPushButton(text)
        button.toolTip = button.accessibleName = text
        button.connect("clicked(bool)", lambda *_ignored: action())
        return button

    @staticmethod
    def _setLayout(layout):
        manager = slicer.app.layoutManager()
        if manager is not None:
            manager.setLayout(layout)

    @staticmethod
    def _toggleCrosshair():
        for node in slicer.util.getNodesByClass("vtkMRMLCrosshairNode"):
            shown = node.GetCrosshairMode() != node.NoCrosshair
            node.SetCrosshairMode(node.NoCrosshair if shown else node.ShowIntersection)
