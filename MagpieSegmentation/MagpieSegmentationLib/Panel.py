"""The sections of the panel and their connections."""

import qt
import slicer

from magpie_core.errors import Cancelled, MagpieError
from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES

from .ComputerSection import ComputerSection
from .CorrectSection import CorrectSection
from .FinetuneSection import FinetuneSection
from .FinetuningLogic import FinetuningLogic
from .ModelChoice import ensureModel
from .ModelRow import ModelRow
from .PanelParameterNode import PanelParameterNode
from .SegmentSection import SegmentSection
from .StudyLoader import StudyLoader
from .StudySection import StudySection

_POLL_MS = 100
_NEED_PACKAGES = ("segmentButton", "sampleButton", "folderButton", "addButton", "rankButton", "finetuneButton")


class Panel:
    """Study, Segment, Correct, Fine-tune; the state is in the parameter node.

    Parameters
    ----------
    ui
        Widgets by name, as returned by `slicer.util.childWidgetVariables`.
    logic
        SegmentationLogic.
    installLogic
        InstallLogic.
    finetuningLogic
        FinetuningLogic; by default one that shares the worker of `logic`.
    """

    def __init__(self, ui, logic, installLogic, finetuningLogic=None):
        self.ui = ui
        self.finetuningLogic = finetuningLogic or FinetuningLogic(logic.port)
        self._logic = logic
        self._loader = StudyLoader(logic.port)
        self._parameters = None
        self._guiTag = None
        self._isAway = False
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MS)
        self._timer.connect("timeout()", self._poll)
        self.computer = ComputerSection(ui, logic.port, installLogic, self._showError, self._timer.start)
        callbacks = (self._showError, self._ensurePackages)
        self.study = StudySection(ui, self._loader, *callbacks)
        self.model = ModelRow(ui)
        self.segment = SegmentSection(
            ui, logic, self.study.volumes, self._showError, lambda: self._ensureModel(self._ensurePackages)
        )
        self.correct = CorrectSection(ui, self._showError)
        self.finetune = FinetuneSection(
            ui, self.finetuningLogic, self._showError, lambda: self._ensureModel(self.computer.ensure)
        )
        self.model.changed.connect(self.finetune.update)
        for button in (ui.promoteButton, ui.rollBackButton):  # after the section Fine-tune has done it
            button.connect("clicked(bool)", self.model.update)
        for section in (self.segment, self.finetune):
            section.started.connect(self._onStarted)
        self.study.changed.connect(self._onVolumes)
        self.segment.ended.connect(self.update)
        self.segment.swapRequested.connect(self.study.swapModalities)
        self.segment.resultChanged.connect(self._onResult)
        self.correct.reviewedChanged.connect(self.finetune.update)
        self.finetune.studyChosen.connect(self.study.loadFolder)
        self.correct.show(None)
        self.update()

    @property
    def isBound(self):
        """Whether the panel shows the state of a parameter node, and changes it."""
        return self._guiTag is not None

    def show(self, parameterNode):
        """Bind the panel to a parameter node; None to unbind it."""
        if self._parameters is not None and self._parameters.parameterNode is not parameterNode:
            self._disconnectGui()
            self._parameters = None
            self.segment.show(None)
        if parameterNode is not None:
            self._parameters = self._parameters or PanelParameterNode(parameterNode)
            if self._guiTag is None:
                self._guiTag = self._parameters.connectGui(self.ui)
            self.segment.show(self._parameters.result)
            self.study.enter()
            self.finetune.enter()
        self.update()

    def enter(self, parameterNode):
        """Show the state of a parameter node when the module is entered."""
        self._isAway = False
        self.show(parameterNode)
        self.model.update()
        self.correct.enter()

    def exit(self):
        """Deactivate the editor and let go of the parameter node when another module is entered; jobs continue."""
        self._isAway = True
        self._disconnectGui()
        self.correct.exit()

    def closeScene(self):
        """Cancel what is computed for the scene, and show nothing of it any more."""
        self._logic.cancel()
        self.study.clear()
        self.segment.clear()
        self.show(None)

    def volumes(self):
        """Return the selected volume nodes by modality."""
        return self.study.volumes()

    def update(self, *_ignored):
        """Enable what is possible now; the tooltip of a disabled widget gives the reason."""
        if self._loader.loading.isRunning:
            self._timer.start()
        self.study.update(self._logic.isRunning)
        self.segment.update(self.study.problem())
        self.finetune.update()
        self.computer.noteInstallation([getattr(self.ui, name) for name in _NEED_PACKAGES])

    def close(self):
        """Stop the timer and the workers; the panel cannot be used afterwards."""
        self._timer.stop()
        self.show(None)
        self.correct.close()
        self.finetuningLogic.close()
        self._logic.close()

    def _poll(self):
        self._logic.poll()
        self.finetuningLogic.poll()
        jobs = (self._logic, self.computer.checking, self._loader.loading, self.finetuningLogic)
        if not any(job.isRunning for job in jobs):
            self._timer.stop()

    def _ensurePackages(self):
        self.computer.ensure(panels=False)

    def _ensureModel(self, ensurePackages):
        ensurePackages()
        ensureModel()
        self.model.update()

    def _disconnectGui(self):
        if self._guiTag is not None:
            self._parameters.disconnectGui(self._guiTag)
            self._guiTag = None

    def _onVolumes(self):
        if self._isAway and self._parameters is not None:  # the selectors do not write to the parameter node then
            for modality in GLIOMA_MODALITY_NAMES:
                setattr(self._parameters, modality.lower(), self.study.volumes().get(modality))
        self.segment.showOf(self.study.volumes())
        self.update()

    def _onStarted(self):
        self._timer.start()
        self.update()

    def _onResult(self, result):
        if self._parameters is not None and result is not None:
            self._parameters.result = result.segmentationNode
        self.correct.show(result)
        self.finetune.show(result)

    def _showError(self, error: MagpieError):
        if isinstance(error, Cancelled):  # the user declined an installation
            self.ui.statusLabel.text = str(error)
            return
        slicer.util.errorDisplay(str(error), windowTitle="MAGPIE")
