"""The four sections of the companion panel, tied together."""

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
_LOOK_MS = 1000


class TrainingPanel:
    """Cases, Training, Experts, Models; the state is in the parameter node.

    Parameters
    ----------
    ui
        Widgets by name, as `slicer.util.childWidgetVariables` gives them.
    port
        WorkerPort; one of its own by default.
    """

    def __init__(self, ui, port=None):
        self.ui = ui
        self._port = port or WorkerPort()
        self._parameters = None
        self._guiTag = None
        self._poller = self._timer(_POLL_MS, self._poll)
        self._looker = self._timer(_LOOK_MS, self._look)
        self.logic = ExpertsLogic(self._port)
        self.attention = AttentionLogic(self._port)
        self.cohort = CohortView(ui)
        self.training = TrainingView(ui)
        self.experts = ExpertsView(ui, self.logic, self.attention, self._tell, self._poller.start)
        self.versions = VersionsView(ui, FinetuningLogic(self._port), self._tell)

    def show(self, parameterNode):
        """Show the state that is kept in a parameter node, from now on; None to let go of the last one."""
        if self._parameters is not None:
            self._parameters.disconnectGui(self._guiTag)
            self._parameters = None
        self._looker.stop()
        if parameterNode is not None:
            self._parameters = TrainingParameterNode(parameterNode)
            self._guiTag = self._parameters.connectGui(self.ui)
            self.cohort.enter()
            self.training.update()
            self.experts.refresh()
            self.experts.watchCrosshair()
            self.versions.update()
            self._looker.start()

    def close(self):
        """End everything; the panel is not used any more."""
        self._poller.stop()
        self.show(None)
        self.experts.letGo()
        self.logic.explaining.forget()
        self.attention.attending.forget()
        self._port.close()

    def _poll(self):
        self._port.poll()
        if not (self.logic.explaining.isRunning or self.attention.attending.isRunning):
            self._poller.stop()

    def _look(self):
        self.training.update()

    @staticmethod
    def _timer(interval, action):
        timer = qt.QTimer()
        timer.setInterval(interval)
        timer.connect("timeout()", action)
        return timer

    @staticmethod
    def _tell(error: MagpieError):
        slicer.util.errorDisplay(str(error), windowTitle="MAGPIE")
