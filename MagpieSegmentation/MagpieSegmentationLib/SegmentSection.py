"""Section Segment: device, progress, and the result."""

import qt
import slicer
from slicer.i18n import tr as _

from magpie_core.errors import Cancelled, MagpieError
from magpie_core.imaging.modality import Modality

from .DiameterLines import DiameterLines
from .PictureDialog import showPicture
from .SegmentationResult import SegmentationResult, regionNames
from .Signal import Signal
from .WidgetState import enable

DEVICES = ("auto", "cpu", "cuda")


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
        logic.progressChanged.connect(self._showProgress)
        logic.warned.connect(self._showWarning)
        logic.finished.connect(self._onFinished)
        logic.failed.connect(self._onFailed)
        ui.segmentButton.connect("clicked(bool)", self.onSegment)
        ui.cancelButton.connect("clicked(bool)", self.onCancel)
        ui.show3DBox.connect("toggled(bool)", self.onShow3D)
        ui.diametersBox.connect("toggled(bool)", self.onDiameters)
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
        """Show the result of a segmentation node; nothing if it has none."""
        self.showResult(SegmentationResult.of(segmentationNode))

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

    def onDiameters(self, *_ignored):
        """Show or hide the longest diameter of each region and its longest perpendicular."""
        if self._ui.diametersBox.checked:
            try:
                self._lines.show(self.result)
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
        if self.result is not None and (result is None or result.segmentationNode is not self.result.segmentationNode):
            ui.diametersBox.checked = False
        self.result, self._previous = result, None
        names = regionNames()
        volumes = result.volumesMl if result is not None else {}
        shown = [region for region in names if region in volumes]
        table = ui.resultTable
        table.setRowCount(len(shown))
        for row, region in enumerate(shown):
            for column, text in enumerate(
                (names[region], self._milliliters(result, region), self._diameters(result, region))
            ):
                table.setItem(row, column, qt.QTableWidgetItem(text))
        table.visible = bool(shown)
        ui.warningsLabel.text = "\n".join(result.warnings) if result is not None else ""
        reason = _("Segment a study first") if result is None else ""
        enable(ui.show3DBox, reason, _("Show the segments in the 3-D view"))
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

    def _showWarning(self, text):
        self._warnings.append(text)
        self._ui.warningsLabel.text = "\n".join(self._warnings)

    @staticmethod
    def _milliliters(result, region):
        """Return the volume as text, with the prediction interval if the result has one."""
        text = _("{ml} ml").format(ml=f"{result.volumesMl[region]:.1f}")
        low, high = result.report.get("volume_intervals_ml", {}).get(region, (0, 0))
        if high <= 0:
            return text
        return _("{volume} ({low} to {high})").format(volume=text, low=f"{low:.1f}", high=f"{high:.1f}")

    @staticmethod
    def _diameters(result, region):
        """Return the RANO diameters in an axial slice as text; empty for tissues, which RANO does not measure."""
        measured = result.report.get("diameters_mm", {}).get(region)
        if not measured:
            return ""
        return _("{longest} x {perpendicular} mm").format(
            longest=f"{measured[0]:.0f}", perpendicular=f"{measured[1]:.0f}"
        )

    def _onFinished(self, result):
        self._ui.statusLabel.text = _("Done")
        self.showResult(result)
        self._showIdle()
        self.onShow3D()
        if result.referenceNode is not None:
            slicer.util.setSliceViewerLayers(background=result.referenceNode, fit=True)
        self.confirmModalitySwap(result)

    def _onFailed(self, error):
        if self._previous is not None and self._previous.segmentationNode.GetScene() is not None:
            self.showResult(self._previous)
        self._showIdle()
        if isinstance(error, Cancelled):
            self._ui.statusLabel.text = _("Cancelled")
            return
        self._ui.statusLabel.text = _("Failed")
        self._showError(error)
