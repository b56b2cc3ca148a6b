"""Section Segment: one button, and what came of it."""

import qt
import slicer
from slicer.i18n import tr as _

from magpie_core.errors import Cancelled, MagpieError

from .DiameterLines import DiameterLines
from .ModalityAssignment import modalityWords
from .PictureDialog import showPicture
from .SegmentationResult import SegmentationResult, regionWords
from .Signal import Signal

DEVICES = ("auto", "cpu", "cuda")


class SegmentSection:
    """Model, device, progress, and milliliters with warnings.

    Parameters
    ----------
    ui
        Widgets by name.
    logic
        SegmentationLogic.
    tell
        Function that shows a MagpieError.
    prepare
        Function that installs what is missing, with consent.

    Attributes
    ----------
    started, ended
        Signal(): a segmentation is under way, or not any more.
    resultChanged
        Signal(SegmentationResult).
    exchangeWanted
        Signal(likely): the user agrees that images were given as the wrong modalities.
    """

    def __init__(self, ui, logic, tell, prepare):
        self.started = Signal()
        self.ended = Signal()
        self.resultChanged = Signal()
        self.exchangeWanted = Signal()
        self._ui = ui
        self._logic = logic
        self._tell = tell
        self._prepare = prepare
        self._warnings = []
        self._volumes = dict
        self._lines = DiameterLines()
        self.result = None
        self._before = None  # the result that a segmentation under way may replace
        for text in (_("Automatic"), _("Processor"), _("Graphics card")):
            ui.deviceSelector.addItem(text)
        logic.progressChanged.connect(self._showProgress)
        logic.warned.connect(self._showWarning)
        logic.finished.connect(self._onFinished)
        logic.failed.connect(self._onFailed)
        ui.segmentButton.connect("clicked(bool)", self.onSegment)
        ui.cancelButton.connect("clicked(bool)", self.onCancel)
        ui.show3DBox.connect("toggled(bool)", self.onShow3D)
        ui.diametersBox.connect("toggled(bool)", self.onDiameters)
        ui.preparationButton.connect("clicked(bool)", self.onPreparation)
        self._showIdle()

    def of(self, volumes):
        """Where the chosen volumes come from: a function without arguments."""
        self._volumes = volumes

    def update(self, problem):
        """Enable what can be done now, and say why the rest cannot."""
        running = self._logic.isRunning
        self._ui.segmentButton.enabled = not problem and not running
        self._ui.segmentButton.toolTip = (
            problem
            or (_("A segmentation is under way") if running else "")
            or _("Find the tumor and its parts in these images")
        )
        self._ui.deviceSelector.enabled = not running

    def show(self, segmentationNode):
        """Show the result that a node carries; nothing if it carries none."""
        self._showResult(SegmentationResult.of(segmentationNode))

    def onSegment(self, *_ignored):
        """Install what is missing, and start."""
        with slicer.util.tryWithErrorDisplay(_("The segmentation could not be started.")):
            try:
                self._prepare()
                device = DEVICES[max(0, self._ui.deviceSelector.currentIndex)]
                self._logic.start(self._volumes(), device=device)
            except MagpieError as error:
                self._tell(error)
            else:
                self._showRunning()

    def onCancel(self, *_ignored):
        """End the segmentation that is under way."""
        self._ui.cancelButton.enabled = False
        self._ui.statusLabel.text = _("Cancelling")
        self._logic.cancel()

    def onShow3D(self, *_ignored):
        """Show the surfaces in the 3-D view, or not."""
        if self.result is not None:
            node = self.result.segmentationNode
            if self._ui.show3DBox.checked:
                node.CreateClosedSurfaceRepresentation()
            else:
                node.RemoveClosedSurfaceRepresentation()

    def onDiameters(self, *_ignored):
        """Draw the longest diameter of each region and its longest perpendicular, or not."""
        if self._ui.diametersBox.checked:
            try:
                self._lines.show(self.result)
            except MagpieError as error:
                self._tell(error)
        else:
            self._lines.hide(self.result)

    def onPreparation(self, *_ignored):
        """Show how the images were aligned and where the brain was found."""
        showPicture(self.result.preparation, _("Alignment and brain"))

    def _askForExchange(self, result):
        """Ask about images that look as if they were given as the wrong modalities; nothing is exchanged unasked."""
        likely = result.report.get("suspected_swap")
        if not likely:
            return
        names = modalityWords()
        words = "\n".join(
            _("{given} looks like {seen}").format(given=names[given], seen=names[seen])
            for given, seen in likely.items()
        )
        question = _("{words}\n\nExchange them, and find the tumor again?").format(words=words)
        if slicer.util.confirmYesNoDisplay(question, windowTitle="MAGPIE"):
            self.exchangeWanted.emit(likely)
            self.onSegment()

    def _showIdle(self):
        self._ui.progressBar.visible = False
        self._ui.cancelButton.enabled = False
        self._ui.cancelButton.toolTip = _("No segmentation is under way")
        self.ended.emit()

    def _showRunning(self):
        self._warnings = []
        before = self.result
        self._showResult(None)
        self._before = before
        self._ui.cancelButton.enabled = True
        self._ui.cancelButton.toolTip = _("End the segmentation; an earlier result is shown again")
        self._ui.progressBar.visible = True
        self._ui.progressBar.value = 0
        self._ui.statusLabel.text = _("Starting")
        self.started.emit()

    def _showProgress(self, fraction, stage):
        self._ui.progressBar.value = round(100 * fraction)
        self._ui.statusLabel.text = stage

    def _showWarning(self, text):
        self._warnings.append(text)
        self._ui.warningsLabel.text = "\n".join(self._warnings)

    def _showResult(self, result):
        words = regionWords()
        if self.result is not None and (
            result is None or result.segmentationNode is not self.result.segmentationNode
        ):
            self._ui.diametersBox.checked = False
        self.result, self._before = result, None
        volumes = result.volumesMl if result is not None else {}
        shown = [region for region in words if region in volumes]
        table = self._ui.resultTable
        table.setRowCount(len(shown))
        for row, region in enumerate(shown):
            table.setItem(row, 0, qt.QTableWidgetItem(words[region]))
            table.setItem(row, 1, qt.QTableWidgetItem(self._milliliters(result, region)))
            table.setItem(row, 2, qt.QTableWidgetItem(self._diameters(result, region)))
        table.visible = bool(shown)
        self._ui.show3DBox.enabled = result is not None
        self._ui.show3DBox.toolTip = (
            _("Show the tumor in the 3-D view") if result is not None else _("Nothing is segmented yet")
        )
        self._ui.warningsLabel.text = "\n".join(result.warnings) if result is not None else ""
        self._ui.diametersBox.enabled = result is not None
        self._ui.diametersBox.toolTip = (
            _(
                "Draw the longest diameter of each region and the longest at a right angle to it,\n"
                "as the segments are now: of its largest connected part,\n"
                "in the nearly axial slice where their product is greatest"
            )
            if result is not None
            else _("Nothing is segmented yet")
        )
        prepared = bool(result is not None and result.preparation)
        self._ui.preparationButton.enabled = prepared
        self._ui.preparationButton.toolTip = (
            _("See how the images were aligned and where the brain was found")
            if prepared
            else _("There is nothing to see: these images needed no preparation, or none were segmented yet")
        )
        self.resultChanged.emit(result)

    @staticmethod
    def _milliliters(result, region):
        """The volume, with the interval where the result carries one."""
        text = _("{ml} ml").format(ml=f"{result.volumesMl[region]:.1f}")
        low, high = result.report.get("volume_intervals_ml", {}).get(region, (0, 0))
        if high <= 0:
            return text
        return _("{volume} ({low} to {high})").format(volume=text, low=f"{low:.1f}", high=f"{high:.1f}")

    @staticmethod
    def _diameters(result, region):
        """As RANO measures them, in an axial slice; empty for tissues that it does not measure."""
        measured = result.report.get("diameters_mm", {}).get(region)
        if not measured:
            return ""
        return _("{longest} x {across} mm").format(longest=f"{measured[0]:.0f}", across=f"{measured[1]:.0f}")

    def _onFinished(self, result):
        self._ui.statusLabel.text = _("Done")
        self._showResult(result)
        self._showIdle()
        self.onShow3D()
        if result.referenceNode is not None:
            slicer.util.setSliceViewerLayers(background=result.referenceNode, fit=True)
        self._askForExchange(result)

    def _onFailed(self, error):
        if self._before is not None and self._before.segmentationNode.GetScene() is not None:
            self._showResult(self._before)
        self._showIdle()
        if isinstance(error, Cancelled):
            self._ui.statusLabel.text = _("Cancelled")
            return
        self._ui.statusLabel.text = _("Not done")
        self._tell(error)
