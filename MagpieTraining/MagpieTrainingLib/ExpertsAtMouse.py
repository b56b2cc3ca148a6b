"""The routing weight of each expert, and the template coordinates, at the mouse."""

import qt
import slicer
from MagpieSegmentationLib.Tables import fitToContent, textCell
from slicer.i18n import tr as _

from .Colors import categoricalColor
from .ExpertBars import ExpertBars

_SWATCH_PIXELS = 12


def swatch(number):
    """Return an icon in the color of an expert, by its index from 0."""
    picture = qt.QPixmap(_SWATCH_PIXELS, _SWATCH_PIXELS)
    picture.fill(qt.QColor(*(round(255 * level) for level in categoricalColor(number))))
    return qt.QIcon(picture)


class ExpertsAtMouse:
    """A table and, if wanted, bars that follow the mouse while the module is open.

    Parameters
    ----------
    ui
        Widgets by name.
    logic
        ExpertsLogic.
    template
        TemplateOverlay.
    """

    def __init__(self, ui, logic, template):
        self._ui = ui
        self._logic = logic
        self._template = template
        self._bars = ExpertBars()
        self._crosshair = None
        self._tag = None
        ui.barsButton.connect("clicked(bool)", self.onShowBars)

    def observe(self):
        """Follow the mouse."""
        for node in slicer.util.getNodesByClass("vtkMRMLCrosshairNode"):
            if self._crosshair is None:
                self._crosshair = node
                event = slicer.vtkMRMLCrosshairNode.CursorPositionModifiedEvent
                self._tag = node.AddObserver(event, self._onMouse)

    def release(self):
        """Follow the mouse no longer."""
        if self._crosshair is not None:
            self._crosshair.RemoveObserver(self._tag)
            self._crosshair = None

    def refresh(self):
        """List the experts of the scene, without weights until the mouse is moved."""
        maps = self._logic.maps()
        table = self._ui.mouseTable
        table.setRowCount(len(maps))
        for row, node in enumerate(maps):
            name = textCell(node.GetName())
            name.setIcon(swatch(row))
            table.setItem(row, 0, name)
            table.setItem(row, 1, textCell("", isNumber=True))
        fitToContent(table)
        self._ui.barsButton.enabled = bool(maps)
        self._ui.templateLabel.text = ""
        if len(maps) != self._bars.count:
            self._bars.remove()

    def onShowBars(self, *_ignored):
        """Show the experts at the mouse as bars in a plot view."""
        self._bars.show([self._logic.regionOf(node) for node in self._logic.maps()])

    def reset(self):
        """Forget the study: no weight, no bars, no observer."""
        self.release()
        self._bars.remove()

    def _onMouse(self, *_ignored):
        ras = [0.0, 0.0, 0.0]
        if not self._crosshair.GetCursorPositionRAS(ras):
            return
        mni = self._template.templateCoordinates(ras)
        self._ui.templateLabel.text = (
            ""
            if mni is None
            else _("Template coordinates (MNI, mm): {x}, {y}, {z}").format(
                **{axis: f"{value:.0f}" for axis, value in zip("xyz", mni, strict=True)}
            )
        )
        table = self._ui.mouseTable
        percents = [round(100 * weight) for weight in self._logic.weightsAt(ras)]
        for row in range(table.rowCount):
            table.item(row, 1).setText(str(percents[row]) if percents else "")
        self._bars.update(percents)
