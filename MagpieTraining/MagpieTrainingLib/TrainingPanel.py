"""The sections of the Training module and their connections."""

import qt
import slicer
from MagpieSegmentationLib.FinetuningLogic import FinetuningLogic
from MagpieSegmentationLib.WorkerPort import WorkerPort

from magpie_core.errors import MagpieError

from .AttentionLogic import AttentionLogic
from .CohortView import CohortView
from .ExpertsLogic import ExpertsLogic
from .ExpertsView import ExpertsView
from .TrainingParameterNode import TrainingParameterNode
from .TrainingView import TrainingView
from .VersionsView import VersionsView

_POLL_MS = 100
_LOG_MS = 1000


class TrainingPanel:
    """Cases, Training, Experts, Models; the state is in the parameter node.

    Parameters
    ----------
    ui
        Widgets by name, as returned by `slicer.util.childWidgetVariables`.
    port
        WorkerPort; one of its own by default.
    """

    def __init__(self, ui, port=None):
        self.ui = ui
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

    def show(self, parameterNode):
        """Bind the panel to a parameter node; None to unbind it."""
        if self._parameters is not None:
            self._parameters.disconnectGui(self._guiTag)
            self._parameters = None
        self._logTimer.stop()
        if parameterNode is not None:
            self._parameters = TrainingParameterNode(parameterNode)
            self._guiTag = self._parameters.connectGui(self.ui)
            self.cohort.enter()
            self.training.update()
            self.experts.refresh()
            self.experts.observeCrosshair()
            self.versions.update()
            self._logTimer.start()

    def exit(self):
        """Stop following the training and the mouse when another module is entered; jobs continue."""
        self._logTimer.stop()
        self.experts.releaseCrosshair()

    def close(self):
        """Stop the timers and the worker; the panel cannot be used afterwards."""
        self._pollTimer.stop()
        self.show(None)
        self.experts.reset()
        self.logic.explaining.forget()
        self.attention.attending.forget()
        self._port.close()

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
        slicer.util.errorDisplay(str(error), windowTitle="MAGPIE")
