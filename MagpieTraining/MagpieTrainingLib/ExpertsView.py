"""Section Experts: where each expert of the network worked."""

import qt
import slicer
from MagpieSegmentationLib.SegmentationResult import SegmentationResult
from slicer.i18n import tr as _

from magpie_core.errors import Cancelled, MagpieError


class ExpertsView:
    """One map at a time over the study, how the experts go with the regions, and who works at the crosshair.

    Parameters
    ----------
    ui
        Widgets by name.
    logic
        ExpertsLogic.
    tell
        Function that shows a MagpieError.
    started
        Function to call when a job is under way.
    """

    def __init__(self, ui, logic, tell, started):
        self._ui = ui
        self._logic = logic
        self._tell = tell
        self._started = started
        self._crosshair = None
        self._crosshairTag = None
        ui.resultSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.update)
        ui.explainButton.connect("clicked(bool)", self.onExplain)
        ui.expertSelector.connect("currentIndexChanged(int)", self.onShow)
        ui.opacitySlider.connect("valueChanged(int)", self.onShow)
        ui.thresholdSlider.connect("valueChanged(int)", self.onShow)
        logic.explaining.progressChanged.connect(self._showProgress)
        logic.explaining.finished.connect(self._onFinished)
        logic.explaining.failed.connect(self._onFailed)
        self.update()

    def update(self, *_ignored):
        """Enable what can be done now, and say why the rest cannot."""
        result = SegmentationResult.of(self._ui.resultSelector.currentNode())
        running = self._logic.explaining.isRunning
        if running:
            reason = _("The experts are being looked at")
        elif result is None:
            reason = _("Choose a segmentation that MAGPIE made")
        elif not result.volumes():
            reason = _("The images of this result are not in the scene any more")
        else:
            reason = ""
        self._ui.explainButton.enabled = not reason
        self._ui.explainButton.toolTip = reason or _(
            "Look at the study again, and keep where each expert was asked"
        )
        shown = bool(self._logic.maps())
        for widget in (self._ui.expertSelector, self._ui.opacitySlider, self._ui.thresholdSlider):
            widget.enabled = shown

    def onExplain(self, *_ignored):
        """Ask the worker for the maps."""
        try:
            self._logic.start(SegmentationResult.of(self._ui.resultSelector.currentNode()))
        except MagpieError as error:
            self._tell(error)
        else:
            self._ui.expertsLabel.text = _("Starting")
            self._started()
            self.update()

    def onShow(self, *_ignored):
        """Lay the chosen expert's map over the study."""
        maps = self._logic.maps()
        index = self._ui.expertSelector.currentIndex
        if not 0 <= index < len(maps):
            return
        self._logic.setThreshold(maps[index], self._ui.thresholdSlider.value / 100)
        slicer.util.setSliceViewerLayers(
            foreground=maps[index], foregroundOpacity=self._ui.opacitySlider.value / 100
        )

    def watchCrosshair(self):
        """Let the table follow the crosshair."""
        for node in slicer.util.getNodesByClass("vtkMRMLCrosshairNode"):
            if self._crosshair is None:
                self._crosshair = node
                event = slicer.vtkMRMLCrosshairNode.CursorPositionModifiedEvent
                self._crosshairTag = node.AddObserver(event, lambda *_ignored: self.showCrosshair())

    def letGo(self):
        """Follow the crosshair no more."""
        if self._crosshair is not None:
            self._crosshair.RemoveObserver(self._crosshairTag)
            self._crosshair = None

    def showCrosshair(self):
        """Show who works where the mouse is."""
        ras = [0.0, 0.0, 0.0]
        if self._crosshair is None or not self._crosshair.GetCursorPositionRAS(ras):
            return
        values = self._logic.at(ras)
        table = self._ui.crosshairTable
        if table.rowCount != len(values):
            table.setRowCount(len(values))
        for row, value in enumerate(values):
            table.setItem(row, 0, qt.QTableWidgetItem(_("Expert {n}").format(n=row + 1)))
            table.setItem(row, 1, qt.QTableWidgetItem(_("{percent} %").format(percent=f"{100 * value:.0f}")))

    def _showProgress(self, fraction, stage):
        self._ui.expertsLabel.text = f"{stage} ({100 * fraction:.0f} %)"

    def _onFinished(self, message):
        try:
            maps = self._logic.load(message)
        except MagpieError as error:
            self._onFailed(error)
            return
        self._ui.expertSelector.clear()
        for node in maps:
            self._ui.expertSelector.addItem(node.GetName())
        self._showAgreement(message["agreement"])
        self._ui.expertsLabel.text = _(
            "The experts look at cubes of {mm} mm; nothing finer can be seen in the maps."
        ).format(mm=f"{message['token_mm']:.0f}")
        self.watchCrosshair()
        self.update()
        self.onShow()

    def _showAgreement(self, rows):
        words = {
            "ET": _("Enhancing tumour"),
            "TC": _("Tumour core"),
            "ED": _("Oedema"),
            "background": _("Brain without tumour"),
            "boundary": _("Border of the tumour"),
        }
        rows = [row for row in rows if row["where"] == "box"]
        table = self._ui.agreementTable
        table.setRowCount(len(rows))
        for number, row in enumerate(rows):
            cells = (
                words[row["region"]],
                str(row["expert"] + 1),
                f"{row['iou']:.2f}",
                f"{row['control']:.2f}",
                f"{row['ceiling']:.2f}",
            )
            for column, text in enumerate(cells):
                table.setItem(number, column, qt.QTableWidgetItem(text))

    def _onFailed(self, error):
        self._ui.expertsLabel.text = _("Cancelled") if isinstance(error, Cancelled) else _("Not done")
        self.update()
        if not isinstance(error, Cancelled):
            self._tell(error)
