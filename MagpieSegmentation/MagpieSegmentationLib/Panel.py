"""The sections of the panel, tied together."""

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
    """Study, Segment, Correct, Teach; the state is in the parameter node.

    Parameters
    ----------
    ui
        Widgets by name, as `slicer.util.childWidgetVariables` gives them.
    logic
        SegmentationLogic.
    installLogic
        InstallLogic.
    teachingLogic
        FinetuningLogic; one that shares the worker of `logic` by default.
    """

    def __init__(self, ui, logic, installLogic, teachingLogic=None):
        self.ui = ui
        self._logic = logic
        self._installLogic = installLogic
        self._teaching = teachingLogic or FinetuningLogic(logic.port)
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
        self.study = StudySection(ui, self._loader, self._tell, self._prepare)
        self.segment = SegmentSection(ui, logic, self._tell, self._prepare)
        self.correct = CorrectSection(ui, self._tell)
        self.teach = FinetuneSection(ui, self._teaching, self._tell, self._prepare)
        for section in (self.segment, self.teach):
            section.of(self.study.volumes)
            section.started.connect(self._onStarted)
        self.study.changed.connect(self.update)
        self.segment.ended.connect(self.update)
        self.segment.exchangeWanted.connect(self.study.exchange)
        self.segment.resultChanged.connect(self._onResult)
        self.correct.reviewedChanged.connect(self.teach.update)
        self.teach.studyChosen.connect(self.study.loadFolder)
        ui.checkButton.connect("clicked(bool)", self.onCheck)
        ui.installFolderButton.connect("clicked(bool)", self.onInstallFolder)
        self.correct.show(None)
        self.update()

    def show(self, parameterNode):
        """Show the state that is kept in a parameter node, from now on; None to let go of the last one."""
        if parameterNode is not None:
            self.teach.enter()
        if self._parameters is not None:
            if self._parameters.parameterNode is parameterNode:
                self.teach.update()
                return
            self._parameters.disconnectGui(self._guiTag)
            self._parameters = None
            self.correct.show(None)
        if parameterNode is not None:
            parameters = PanelParameterNode(parameterNode)
            self._guiTag = parameters.connectGui(self.ui)
            if not self.study.volumes():
                self.study.onAssign()
            self._parameters = parameters
            self.segment.show(parameters.result)
            self.update()

    def volumes(self):
        """The chosen volume nodes by modality."""
        return self.study.volumes()

    def update(self, *_ignored):
        """Enable what can be done now, and say why the rest cannot."""
        if self._loader.making.isRunning:
            self._timer.start()
        self.study.update(self._logic.isRunning)
        self.segment.update(self.study.problem())
        self.teach.update()

    def onCheck(self, *_ignored):
        """Say what this computer can do."""
        with slicer.util.tryWithErrorDisplay(_("This computer could not be checked.")):
            try:
                self._prepare()
            except MagpieError as error:
                self._tell(error)
                return
            if not self._checking.isRunning:
                self.ui.checkLabel.text = _("Checking")
                self._checking.start({"kind": "check"})
                self._timer.start()

    def onInstallFolder(self, *_ignored):
        """Install the Python packages from a folder, for computers without a network."""
        folder = qt.QFileDialog.getExistingDirectory(None, _("Folder with the packages (*.whl)"))
        if folder:
            with slicer.util.tryWithErrorDisplay(_("The packages could not be installed.")):
                try:
                    self._installLogic.installFromFolder(folder)
                except MagpieError as error:
                    self._tell(error)
                else:
                    self.ui.checkLabel.text = _("The packages are installed.")

    def close(self):
        """End everything; the panel is not used any more."""
        self._timer.stop()
        self.show(None)
        self._teaching.close()
        self._logic.close()

    def _poll(self):
        self._logic.poll()
        self._teaching.poll()
        teaching = self._teaching
        tasks = (self._logic, self._checking, self._loader.making)
        if not any(task.isRunning for task in (*tasks, teaching.adding, teaching.ranking, teaching.teaching)):
            self._timer.stop()

    def _prepare(self):
        if not self._installLogic.isComplete():
            self._installLogic.install()

    def _onStarted(self):
        self._timer.start()
        self.update()

    def _onResult(self, result):
        if self._parameters is not None and result is not None:
            self._parameters.result = result.segmentationNode
        self.correct.show(result)
        self.teach.show(result)

    @staticmethod
    def _describe(computer):
        lines = [
            _("{n} processor threads, {gib} GB of memory free").format(
                n=computer["processor_threads"], gib=computer["free_memory_gib"]
            )
        ]
        for card in computer["cuda"]:
            text = (
                _("Graphics card {name} cannot be used: {fault}")
                if card["fault"]
                else _("Graphics card {name}: {gib} GB free, a small run on it worked")
            )
            lines.append(text.format(name=card["name"], gib=card["free_memory_gib"], fault=card["fault"]))
        if not computer["cuda"]:
            lines.append(_("No graphics card that can be used: a study takes some seconds to a minute."))
            if computer["torch_cuda"] is None:
                lines.append(
                    _("PyTorch {version} is made for the processor alone.").format(version=computer["torch"])
                )
        return "\n".join(lines)

    @staticmethod
    def _tell(error: MagpieError):
        slicer.util.errorDisplay(str(error), windowTitle="MAGPIE")
