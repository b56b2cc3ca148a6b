"""The sections of the Training module and their connections."""

from pathlib import Path

import qt
import slicer
from MagpieSegmentationLib.FinetuningLogic import FinetuningLogic
from MagpieSegmentationLib.InstallLogic import InstallLogic
from MagpieSegmentationLib.WorkerPort import WorkerPort
from slicer.i18n import tr as _

from magpie_core.errors import Cancelled, MagpieError

from .AttentionLogic import AttentionLogic
from .CohortView import CohortView
from .ExpertsLogic import ExpertsLogic
from .ExpertsView import ExpertsView
from .TrainingParameterNode import TrainingParameterNode
from .TrainingView import TrainingView
from .VersionsView import VersionsView

_POLL_MS = 100
_LOG_MS = 1000
_REQUIREMENTS = Path("Resources") / "requirements.txt"


class TrainingPanel:
    """Cases, Training, Experts, Models; the state is in the parameter node.

    Without the Python packages of MAGPIE only a button that installs them is shown.

    Parameters
    ----------
    ui
        Widgets by name, as returned by `slicer.util.childWidgetVariables`.
    port
        WorkerPort; one of its own by default.
    installLogic
        InstallLogic; that of the module MagpieSegmentation by default.
    """

    def __init__(self, ui, port=None, installLogic=None):
        self.ui = ui
        self._installLogic = installLogic or InstallLogic(
            Path(slicer.util.modulePath("MagpieSegmentation")).parent / _REQUIREMENTS
        )
        self._port = port or WorkerPort()
        self._parameters = None
        self._guiTag = None
        self._pollTimer = self._timer(_POLL_MS, self._poll)
        self._logTimer = self._timer(_LOG_MS, self._followTraining)
        self.logic = ExpertsLogic(self._port)
        self.attention = AttentionLogic(self._port)
        self.cohort = CohortView(ui)
        self.training = TrainingView(ui)
        self.experts = ExpertsView(ui, self.logic, self.attention, self._showError, self._pollTimer.start)
        self.versions = VersionsView(ui, FinetuningLogic(self._port), self._showError)
        ui.installButton.connect("clicked(bool)", self.onInstall)

    @property
    def isBound(self):
        """Whether the panel shows the state of a parameter node."""
        return self._parameters is not None

    def show(self, parameterNode):
        """Bind the panel to a parameter node; None to unbind it."""
        if self._parameters is not None:
            self._parameters.disconnectGui(self._guiTag)
            self._parameters = None
        self._logTimer.stop()
        self.experts.exit()
        if parameterNode is not None:
            self._parameters = TrainingParameterNode(parameterNode)
            self._guiTag = self._parameters.connectGui(self.ui)
            self._enterSections()

    def exit(self):
        """Let go of the parameter node, the training and the mouse when another module is entered; jobs continue."""
        self.show(None)

    def close(self):
        """Stop the timers and the worker; the panel cannot be used afterwards."""
        self._pollTimer.stop()
        self.show(None)
        self.experts.reset()
        self.logic.explaining.forget()
        self.attention.attending.forget()
        self._port.close()

    def onInstall(self, *_ignored):
        """Install the missing packages, with consent."""
        try:
            self._installLogic.install()
        except Cancelled:
            pass
        except MagpieError as error:
            self._showError(error)
        self._enterSections()

    def _enterSections(self):
        """Show the sections; without the packages, what is missing."""
        problem, canInstall = self._installLogic.problem(), self._installLogic.canInstall()
        elsewhere = _("{problem} See MAGPIE Glioma Segmentation, section This computer.")
        self.ui.packagesLabel.text = problem if canInstall else elsewhere.format(problem=problem)
        self.ui.packagesLabel.visible = bool(problem)
        self.ui.installButton.visible = bool(problem) and canInstall
        for name in ("cohortSection", "trainingSection", "expertsSection", "modelsSection"):
            getattr(self.ui, name).visible = not problem
        if problem:
            return
        self.cohort.enter()
        self.training.update()
        self.experts.enter()
        self.versions.update()
        self._logTimer.start()

    def _poll(self):
        self._port.poll()
        if not (self.logic.explaining.isRunning or self.attention.attending.isRunning):
            self._pollTimer.stop()

    def _followTraining(self):
        self.training.update()

    @staticmethod
    def _timer(interval, action):
        timer = qt.QTimer()
        timer.setInterval(interval)
        timer.connect("timeout()", action)
        return timer

    @staticmethod
    def _showError(error: MagpieError):
        if not isinstance(error, Cancelled):  # else the user declined
            slicer.util.errorDisplay(str(error), windowTitle="MAGPIE")
