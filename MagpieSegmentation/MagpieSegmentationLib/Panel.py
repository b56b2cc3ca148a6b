"""The sections of the panel and their connections."""

import qt
import slicer
from slicer.i18n import tr as _

from magpie_core.errors import MagpieError

from .CorrectSection import CorrectSection
from .FinetuneSection import FinetuneSection
from .FinetuningLogic import FinetuningLogic
from .PanelParameterNode import PanelParameterNode
from .SegmentSection import SegmentSection
from .StudyLoader import StudyLoader
from .StudySection import StudySection
from .WorkerTask import WorkerTask

_POLL_MS = 100


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
        self.installLogic = installLogic
        self.finetuningLogic = finetuningLogic or FinetuningLogic(logic.port)
        self._logic = logic
        self._loader = StudyLoader(logic.port)
        self._checking = WorkerTask(logic.port)
        self._checking.finished.connect(
            lambda message: setattr(ui.checkLabel, "text", self._describe(message["computer"]))
        )
        self._checking.failed.connect(lambda error: setattr(ui.checkLabel, "text", str(error)))
        self._parameters = None
        self._guiTag = None
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MS)
        self._timer.connect("timeout()", self._poll)
        callbacks = (self._showError, self._ensurePackages)
        self.study = StudySection(ui, self._loader, *callbacks)
        self.segment = SegmentSection(ui, logic, self.study.volumes, *callbacks)
        self.correct = CorrectSection(ui, self._showError)
        self.finetune = FinetuneSection(ui, self.finetuningLogic, self.study.volumes, *callbacks)
        for section in (self.segment, self.finetune):
            section.started.connect(self._onStarted)
        self.study.changed.connect(self.update)
        self.segment.ended.connect(self.update)
        self.segment.swapRequested.connect(self.study.swapModalities)
        self.segment.resultChanged.connect(self._onResult)
        self.correct.reviewedChanged.connect(self.finetune.update)
        self.finetune.studyChosen.connect(self.study.loadFolder)
        ui.checkButton.connect("clicked(bool)", self.onCheck)
        ui.installFolderButton.connect("clicked(bool)", self.onInstallFolder)
        self.correct.show(None)
        self.update()

    def show(self, parameterNode):
        """Bind the panel to a parameter node; None to unbind it."""
        if parameterNode is not None:
            self.finetune.enter()
        if self._parameters is not None:
            if self._parameters.parameterNode is parameterNode:
                self._assignVolumes()
                self.finetune.update()
                return
            self._parameters.disconnectGui(self._guiTag)
            self._parameters = None
            self.correct.show(None)
        if parameterNode is not None:
            parameters = PanelParameterNode(parameterNode)
            self._guiTag = parameters.connectGui(self.ui)
            self._assignVolumes()
            self._parameters = parameters
            self.segment.show(parameters.result)
            self.update()

    def enter(self, parameterNode):
        """Show the state of a parameter node when the module is entered."""
        self.show(parameterNode)
        self.correct.enter()

    def exit(self):
        """Deactivate the editor when another module is entered; jobs continue."""
        self.correct.exit()

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

    def onCheck(self, *_ignored):
        """Report what this computer offers."""
        with slicer.util.tryWithErrorDisplay(_("This computer could not be checked.")):
            try:
                self._ensurePackages()
            except MagpieError as error:
                self._showError(error)
                return
            if not self._checking.isRunning:
                self.ui.checkLabel.text = _("Checking")
                self._checking.start({"kind": "describe_computer"})
                self._timer.start()

    def onInstallFolder(self, *_ignored):
        """Install the Python packages from a folder, for computers without a network."""
        folder = qt.QFileDialog.getExistingDirectory(None, _("Folder with the packages (*.whl)"))
        if folder:
            with slicer.util.tryWithErrorDisplay(_("The packages could not be installed.")):
                try:
                    self.installLogic.installFromFolder(folder)
                except MagpieError as error:
                    self._showError(error)
                else:
                    self.ui.checkLabel.text = _("The packages are installed.")

    def close(self):
        """Stop the timer and the workers; the panel cannot be used afterwards."""
        self._timer.stop()
        self.show(None)
        self.finetuningLogic.close()
        self._logic.close()

    def _poll(self):
        self._logic.poll()
        self.finetuningLogic.poll()
        jobs = (self._logic, self._checking, self._loader.loading, self.finetuningLogic)
        if not any(job.isRunning for job in jobs):
            self._timer.stop()

    def _ensurePackages(self):
        if not self.installLogic.isComplete():
            self.installLogic.install()

    def _assignVolumes(self):
        if not self.study.volumes():
            self.study.onAssign()

    def _onStarted(self):
        self._timer.start()
        self.update()

    def _onResult(self, result):
        if self._parameters is not None and result is not None:
            self._parameters.result = result.segmentationNode
        self.correct.show(result)
        self.finetune.show(result)

    @staticmethod
    def _describe(computer):
        lines = [
            _("CPU: {n} threads, {gib} GB of memory free").format(
                n=computer["cpu_threads"], gib=computer["free_memory_gib"]
            )
        ]
        for gpu in computer["cuda"]:
            text = (
                _("GPU {name} cannot be used: {error}")
                if gpu["error"]
                else _("GPU {name}: {gib} GB free, the test run succeeded")
            )
            lines.append(text.format(name=gpu["name"], gib=gpu["free_memory_gib"], error=gpu["error"]))
        if not computer["cuda"]:
            lines.append(_("No usable GPU: a segmentation takes some seconds to a minute on the CPU."))
            if computer["torch_cuda"] is None:
                lines.append(_("PyTorch {version} is a CPU-only build.").format(version=computer["torch"]))
        return "\n".join(lines)

    @staticmethod
    def _showError(error: MagpieError):
        slicer.util.errorDisplay(str(error), windowTitle="MAGPIE")
