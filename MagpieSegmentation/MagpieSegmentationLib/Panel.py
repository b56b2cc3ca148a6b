"""The widgets of the panel, tied to its logic."""

import qt
import slicer
from slicer.i18n import tr as _

from magpie_core.errors import Cancelled, MagpieError

from .PanelParameterNode import PanelParameterNode
from .SegmentationResult import SegmentationResult
from .SequenceAssignment import SEQUENCES, SequenceAssignment

_POLL_MS = 100


class Panel:
    """Two sections, Study and Segment; the state is in the parameter node.

    Parameters
    ----------
    ui
        Widgets by name, as `slicer.util.childWidgetVariables` gives them.
    logic
        SegmentationLogic.
    installLogic
        InstallLogic.
    """

    def __init__(self, ui, logic, installLogic):
        self.ui = ui
        self._logic = logic
        self._installLogic = installLogic
        self._parameters = None
        self._guiTag = None
        self._warnings = []
        self._selectors = {
            "T1": ui.t1Selector,
            "T1CE": ui.t1ceSelector,
            "T2": ui.t2Selector,
            "FLAIR": ui.flairSelector,
        }
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MS)
        self._timer.connect("timeout()", self._logic.poll)
        self._logic.progressChanged.connect(self._showProgress)
        self._logic.warned.connect(self._showWarning)
        self._logic.finished.connect(self._onFinished)
        self._logic.failed.connect(self._onFailed)
        ui.assignButton.connect("clicked(bool)", self.onAssign)
        ui.segmentButton.connect("clicked(bool)", self.onSegment)
        ui.cancelButton.connect("clicked(bool)", self.onCancel)
        for selector in self._selectors.values():
            selector.connect("currentNodeChanged(vtkMRMLNode*)", self.update)
        self._showIdle()

    def show(self, parameterNode):
        """Show the state that is kept in a parameter node, from now on; None to let go of the last one."""
        if self._parameters is not None:
            if self._parameters.parameterNode is parameterNode:
                return
            self._parameters.disconnectGui(self._guiTag)
            self._parameters = None
        if parameterNode is not None:
            self._parameters = PanelParameterNode(parameterNode)
            self._guiTag = self._parameters.connectGui(self.ui)
            if not self.volumes():
                self.onAssign()
            self._showResult(SegmentationResult.of(self._parameters.result))
            self.update()

    def volumes(self):
        """The chosen volume nodes by sequence."""
        chosen = {sequence: selector.currentNode() for sequence, selector in self._selectors.items()}
        return {sequence: node for sequence, node in chosen.items() if node is not None}

    def update(self, *_ignored):
        """Enable what can be done now, and say why the rest cannot."""
        problem = self._problem()
        self.ui.studyLabel.text = problem or self._remark()
        self.ui.segmentButton.enabled = not problem and not self._logic.isRunning
        self.ui.segmentButton.toolTip = problem or _("Find the tumour and its parts in these images")
        self.ui.assignButton.enabled = not self._logic.isRunning
        for selector in self._selectors.values():
            selector.enabled = not self._logic.isRunning

    def onAssign(self, *_ignored):
        """Choose volumes by their names, for the sequences that have none."""
        free = [
            node
            for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
            if node.GetClassName() == "vtkMRMLScalarVolumeNode" and not node.GetHideFromEditors()
        ]
        taken = {node.GetID() for node in self.volumes().values()}
        assignment = SequenceAssignment.byName([node for node in free if node.GetID() not in taken])
        for sequence, selector in self._selectors.items():
            if selector.currentNode() is None and sequence in assignment.volumes:
                selector.setCurrentNode(assignment.volumes[sequence])
        self.update()

    def onSegment(self, *_ignored):
        """Install what is missing, and start."""
        with slicer.util.tryWithErrorDisplay(_("The segmentation could not be started.")):
            try:
                if not self._installLogic.isComplete():
                    self._installLogic.install()
                self._logic.start(self.volumes())
            except MagpieError as error:
                self._tell(error)
            else:
                self._showRunning()

    def onCancel(self, *_ignored):
        """End the segmentation that is under way."""
        self.ui.cancelButton.enabled = False
        self.ui.statusLabel.text = _("Cancelling")
        self._logic.cancel()

    def close(self):
        """End everything; the panel is not used any more."""
        self._timer.stop()
        self.show(None)
        self._logic.close()

    def _problem(self):
        """What is in the way of a segmentation, in words; empty if nothing is."""
        volumes = self.volumes()
        if not volumes:
            return _("Choose the images of one examination.")
        for node, sequences in SequenceAssignment.chosenTwice(volumes):
            return _("{name} is chosen as {sequences}.").format(
                name=node.GetName(), sequences=_(" and as ").join(sequences)
            )
        return ""

    def _remark(self):
        """What the choice means for the result."""
        missing = [sequence for sequence in SEQUENCES if sequence not in self.volumes()]
        if "T1CE" in missing:
            return _("Without T1 with contrast, enhancing tumour cannot be told reliably.")
        if missing:
            return _("Without {names} the result is less reliable.").format(names=_(" and ").join(missing))
        return ""

    def _showIdle(self):
        self._timer.stop()
        self.ui.progressBar.visible = False
        self.ui.cancelButton.enabled = False
        self.ui.cancelButton.toolTip = _("No segmentation is under way")
        self.update()

    def _showRunning(self):
        self._warnings = []
        self._showResult(None)
        self.ui.cancelButton.enabled = True
        self.ui.cancelButton.toolTip = _("End the segmentation; nothing is changed")
        self.ui.progressBar.visible = True
        self.ui.progressBar.value = 0
        self.ui.statusLabel.text = _("Starting")
        self._timer.start()
        self.update()

    def _showProgress(self, fraction, stage):
        self.ui.progressBar.value = round(100 * fraction)
        self.ui.statusLabel.text = stage

    def _showWarning(self, text):
        self._warnings.append(text)
        self.ui.warningsLabel.text = "\n".join(self._warnings)

    def _showResult(self, result):
        words = {
            "WT": _("Whole tumour"),
            "TC": _("Tumour core"),
            "ET": _("Enhancing tumour"),
            "NCR": _("Necrotic or non-enhancing core"),
            "ED": _("Oedema or FLAIR hyperintensity"),
        }
        volumes = result.volumesMl if result is not None else {}
        shown = [region for region in words if region in volumes]
        table = self.ui.resultTable
        table.setRowCount(len(shown))
        for row, region in enumerate(shown):
            table.setItem(row, 0, qt.QTableWidgetItem(words[region]))
            table.setItem(row, 1, qt.QTableWidgetItem(_("{ml} ml").format(ml=f"{volumes[region]:.1f}")))
        table.visible = bool(shown)
        self.ui.warningsLabel.text = "\n".join(result.warnings) if result is not None else ""

    def _onFinished(self, result):
        if self._parameters is not None:
            self._parameters.result = result.segmentationNode
        self.ui.statusLabel.text = _("Done")
        self._showResult(result)
        self._showIdle()
        reference = result.segmentationNode.GetNodeReference("referenceImageGeometryRef")
        if reference is not None:
            slicer.util.setSliceViewerLayers(background=reference, fit=True)

    def _onFailed(self, error):
        self._showIdle()
        if isinstance(error, Cancelled):
            self.ui.statusLabel.text = _("Cancelled")
            return
        self.ui.statusLabel.text = _("Not done")
        self._tell(error)

    @staticmethod
    def _tell(error: MagpieError):
        slicer.util.errorDisplay(str(error), windowTitle="MAGPIE")
