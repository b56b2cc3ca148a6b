"""Section Segment: device, progress, and the result."""

import qt
import slicer
from slicer.i18n import tr as _

from magpie_core.errors import Cancelled, MagpieError
from magpie_core.imaging.modality import Modality

from .DiameterLines import DiameterLines
from .Formatting import millimetersText
from .PictureDialog import showPicture
from .SegmentationResult import SegmentationResult, regionNames, showOnly
from .Signal import Signal
from .Tables import fitToContent
from .Views import jumpTo, middleOfTumor, showStudy
from .WidgetState import enable, showText

_INTERVAL = 2  # column of the result table
DEVICES = ("auto", "cpu", "gpu")


class SegmentSection:
    """Device, progress, and the volumes of the regions with warnings.

    Parameters
    ----------
    ui
        Widgets by name.
    logic
        SegmentationLogic.
    volumes
        Function without arguments that returns the selected volumes: modality -> volume node.
    showError
        Function that shows a MagpieError.
    ensurePackages
        Function that installs missing packages, with consent.

    Attributes
    ----------
    result
        The SegmentationResult that is shown; None for none.
    started, ended
        Signal(): a segmentation started or ended.
    resultChanged
        Signal(SegmentationResult).
    swapRequested
        Signal(suspected): the user confirmed that images were selected as the wrong modalities.
    """

    def __init__(self, ui, logic, volumes, showError, ensurePackages):
        self.started = Signal()
        self.ended = Signal()
        self.resultChanged = Signal()
        self.swapRequested = Signal()
        self.result = None
        self._ui = ui
        self._logic = logic
        self._volumes = volumes
        self._showError = showError
        self._ensurePackages = ensurePackages
        self._warnings = []
        self._lines = DiameterLines()
        self._previous = None  # the result that a running segmentation may replace
        for text in (_("Automatic"), _("CPU"), _("GPU")):
            ui.deviceSelector.addItem(text)
        fitToContent(ui.resultTable)
        logic.progressChanged.connect(self._showProgress)
        logic.warned.connect(self._showWarning)
        logic.finished.connect(self._onFinished)
        logic.failed.connect(self._onFailed)
        ui.segmentButton.connect("clicked(bool)", self.onSegment)
        ui.cancelButton.connect("clicked(bool)", self.onCancel)
        ui.show3DBox.connect("toggled(bool)", self.onShow3D)
        ui.outlineBox.connect("toggled(bool)", self.onOutline)
        ui.diametersBox.connect("clicked(bool)", self.onDiameters)
        ui.preprocessingButton.connect("clicked(bool)", self.onShowPreprocessing)
        self._showIdle()

    def update(self, problem):
        """Enable what is possible now; `problem` is why the selected volumes cannot be segmented, or empty."""
        running = self._logic.isRunning
        enable(
            self._ui.segmentButton,
            problem or (_("A segmentation is running") if running else ""),
            _("Segment the tumor and its regions in these images"),
        )
        self._ui.deviceSelector.enabled = not running

    def show(self, segmentationNode):
        """Show the result of a segmentation node, if it is not shown already; nothing if it has none."""
        shown = self.result.segmentationNode if self.result is not None else None
        if shown is not segmentationNode and not self._logic.isRunning:
            self.showResult(SegmentationResult.of(segmentationNode))

    def showOf(self, volumes):
        """Show the result of these images; none, neither numbers nor segments, if they were not segmented."""
        if self._logic.isRunning or not volumes or (self.result is not None and self.result.volumes() == volumes):
            return
        result = SegmentationResult.ofVolumes(volumes)
        showOnly(result.segmentationNode if result is not None else None)
        if result is not self.result:
            self.showResult(result)

    def forgetRemoved(self):
        """Show the result no longer if its segmentation was removed from the scene."""
        if self.result is not None and self.result.segmentationNode.GetScene() is None:
            self.showResult(None)

    def clear(self):
        """Forget the result of a scene that is closed, and what was said of it."""
        self._warnings = []
        self.showResult(None)
        self._ui.statusLabel.text = ""

    def onSegment(self, *_ignored):
        """Install missing packages and start."""
        with slicer.util.tryWithErrorDisplay(_("The segmentation could not be started.")):
            try:
                self._ensurePackages()
                device = DEVICES[max(0, self._ui.deviceSelector.currentIndex)]
                self._logic.start(self._volumes(), device=device)
            except MagpieError as error:
                self._showError(error)
            else:
                self._showRunning()

    def onCancel(self, *_ignored):
        """Cancel the running segmentation."""
        self._ui.cancelButton.enabled = False
        self._ui.statusLabel.text = _("Cancelling")
        self._logic.cancel()

    def onShow3D(self, *_ignored):
        """Show or hide the surfaces in the 3-D view."""
        if self.result is not None:
            node = self.result.segmentationNode
            if self._ui.show3DBox.checked:
                node.CreateClosedSurfaceRepresentation()
            else:
                node.RemoveClosedSurfaceRepresentation()

    def onOutline(self, *_ignored):
        """Fill the segments in the slices, or draw their outlines only."""
        if self.result is not None:
            display = self.result.segmentationNode.GetDisplayNode()
            display.SetVisibility2DFill(not self._ui.outlineBox.checked)

    def onDiameters(self, *_ignored):
        """Show or hide the longest diameter of each region and its longest perpendicular."""
        if self._ui.diametersBox.checked:
            try:
                lines = self._lines.show(self.result)
                if lines:
                    jumpTo(DiameterLines.middle(lines[0]))
            except MagpieError as error:
                self._showError(error)
        else:
            self._lines.hide(self.result)

    def onShowPreprocessing(self, *_ignored):
        """Show the picture of the co-registration and the brain mask."""
        showPicture(self.result.preprocessingPicture, _("Co-registration and brain mask"))

    def confirmModalitySwap(self, result):
        """Ask about images that were probably selected as the wrong modalities; without consent nothing is changed."""
        suspected = result.report.get("suspected_swap")
        if not suspected:
            return
        lines = "\n".join(
            _("{given} looks like {seen}").format(given=Modality(given).label, seen=Modality(seen).label)
            for given, seen in suspected.items()
        )
        question = _("{lines}\n\nSwap them, and segment again?").format(lines=lines)
        if slicer.util.confirmYesNoDisplay(question, windowTitle="MAGPIE"):
            self.swapRequested.emit(suspected)
            self.onSegment()

    def showResult(self, result):
        """Show a SegmentationResult; None for none."""
        ui = self._ui
        self.result, self._previous = result, None
        if result is not None:
            result.hideProposal()
        ui.diametersBox.checked = result is not None and bool(self._lines.shown(result))
        self._showTable(result)
        showText(ui.warningsLabel, "\n".join(result.warnings) if result is not None else "")
        reason = _("Segment a study first") if result is None else ""
        enable(ui.show3DBox, reason, _("Show the segments in the 3-D view"))
        enable(ui.outlineBox, reason, _("Show the segments in the slices as outlines only, without their filling"))
        enable(
            ui.diametersBox,
            reason,
            _(
                "Show the longest diameter of each region and its longest perpendicular,\n"
                "measured on the current segments: on the largest connected part,\n"
                "in the nearly axial slice where their product is greatest"
            ),
        )
        noPicture = result is not None and not result.preprocessingPicture
        enable(
            ui.preprocessingButton,
            reason or (_("These images needed neither co-registration nor brain extraction") if noPicture else ""),
            _("Check the co-registration and the brain mask"),
        )
        self.resultChanged.emit(result)

    def _showTable(self, result):
        table, names = self._ui.resultTable, regionNames()
        volumes = result.volumesMl if result is not None else {}
        shown = [region for region in names if region in volumes]
        table.setRowCount(len(shown))
        for row, region in enumerate(shown):
            numbers = (f"{volumes[region]:.1f}", self._interval(result, region), self._diameters(result, region))
            for column, text in enumerate((names[region], *numbers)):
                item = qt.QTableWidgetItem(text)
                if column:
                    item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                table.setItem(row, column, item)
        table.setColumnHidden(_INTERVAL, not any(self._interval(result, region) for region in shown))
        table.visible = bool(shown)

    def _showIdle(self):
        self._ui.progressBar.visible = False
        enable(self._ui.cancelButton, _("No segmentation is running"), "")
        self.ended.emit()

    def _showRunning(self):
        self._warnings = []
        previous = self.result
        self.showResult(None)
        self._previous = previous
        enable(self._ui.cancelButton, "", _("Cancel the segmentation; the previous result is shown again"))
        self._ui.progressBar.visible = True
        self._ui.progressBar.value = 0
        self._ui.statusLabel.text = _("Starting")
        self.started.emit()

    def _showProgress(self, fraction, stage):
        self._ui.progressBar.value = round(100 * fraction)
        self._ui.statusLabel.text = stage
        if fraction >= 1:
            self._ui.statusLabel.repaint()  # what follows, the loading of the result, keeps Qt from painting

    def _showWarning(self, text):
        self._warnings.append(text)
        showText(self._ui.warningsLabel, "\n".join(self._warnings))

    @staticmethod
    def _interval(result, region):
        """Return the prediction interval of the volume as text; empty if the result has none."""
        low, high = result.report.get("volume_intervals_ml", {}).get(region, (0, 0))
        return _("{low} to\n{high}").format(low=f"{low:.1f}", high=f"{high:.1f}") if high > 0 else ""

    @staticmethod
    def _diameters(result, region):
        """Return the RANO diameters in an axial slice as text; empty for tissues, which RANO does not measure."""
        measured = result.report.get("diameters_mm", {}).get(region)
        if not measured:
            return ""
        longest, perpendicular = map(millimetersText, measured)
        return _("{longest} x {perpendicular}").format(longest=longest, perpendicular=perpendicular)

    def _onFinished(self, result):
        self._ui.statusLabel.text = _("Done")
        self.showResult(result)
        self._showIdle()
        self.onShow3D()
        self.onOutline()
        self._showTumor(result)
        qt.QTimer.singleShot(0, lambda: self.confirmModalitySwap(result))

    @staticmethod
    def _showTumor(result):
        """Show the study in all views, and the middle of the tumor in the slices."""
        showOnly(result.segmentationNode)
        if result.referenceNode is not None:
            showStudy(result.referenceNode)
        middle = middleOfTumor(result.segmentationNode)
        if middle is not None:
            jumpTo(middle)

    def _onFailed(self, error):
        if self._previous is not None and self._previous.segmentationNode.GetScene() is not None:
            self.showResult(self._previous)
        self._showIdle()
        if isinstance(error, Cancelled):
            self._ui.statusLabel.text = _("Cancelled")
            return
        self._ui.statusLabel.text = _("Failed")
        self._showError(error)
