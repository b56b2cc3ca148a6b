"""Section This computer, and the notice of what is missing: packages, the Python of the worker, the devices."""

import qt
import slicer
from slicer.i18n import tr as _

from magpie_core.errors import Cancelled, MagpieError

from .PythonReport import PythonReport
from .PythonSetting import PythonSetting
from .WidgetState import enable
from .WorkerTask import WorkerTask

_SLICERS, _ANOTHER, _ENVIRONMENT = range(3)  # entries of the selector


class ComputerSection:
    """Installation, the setting "Python for computations", and the check of this computer.

    Parameters
    ----------
    ui
        Widgets by name.
    port
        WorkerPort.
    installLogic
        InstallLogic.
    showError
        Function that shows a MagpieError.
    startPolling
        Function that is called when a job was started.

    Attributes
    ----------
    checking
        WorkerTask of the check.
    """

    def __init__(self, ui, port, installLogic, showError, startPolling):
        self._ui = ui
        self.installLogic = installLogic
        self._showError = showError
        self._startPolling = startPolling
        self._isBusy = False
        self.checking = WorkerTask(port)
        self.checking.finished.connect(lambda message: self._showText(describe(message["computer"])))
        self.checking.failed.connect(lambda error: self._showText(str(error)))
        for text in (_("Slicer's own"), _("Another Python"), _("An environment of MAGPIE")):
            ui.pythonSelector.addItem(text)
        ui.pythonSelector.connect("activated(int)", self.onPython)
        ui.checkButton.connect("clicked(bool)", self.onCheck)
        ui.installButton.connect("clicked(bool)", self.onInstall)
        ui.installFolderButton.connect("clicked(bool)", self.onInstallFolder)
        ui.installLogButton.connect("clicked(bool)", self.onInstallLog)
        self.update()

    def update(self):
        """Show the chosen Python, and what is known to be missing; quick."""
        ui, logic, path = self._ui, self.installLogic, PythonSetting.path()
        entry = _SLICERS if not path else _ENVIRONMENT if path == str(logic.environment.python) else _ANOTHER
        ui.pythonSelector.currentIndex = entry
        ui.pythonLabel.text = path
        ui.pythonLabel.visible = bool(path)
        problem, broken = logic.problem(), logic.isBroken()
        ui.packagesLabel.text = problem
        ui.packagesLabel.visible = bool(problem)
        ui.installButton.text = _("Repair PyTorch") if broken else _("Install the packages")
        ui.installButton.visible = bool(problem) and logic.canInstall()
        isFixed = entry == _ANOTHER
        enable(
            ui.installFolderButton,
            _("MAGPIE does not change a Python that is yours") if isFixed else "",
            _("Install the Python packages from files, on a computer without a network"),
        )
        ui.installLogButton.visible = logic.environment.log.exists()

    def noteInstallation(self, buttons):
        """Say in the tooltips of buttons, as set anew by each update, that they install what is missing first."""
        if self.installLogic.problem() and self.installLogic.canInstall():
            for button in buttons:
                if button.enabled:
                    button.toolTip += " " + _("(first installs Python packages, up to several gigabytes; asks before)")

    def ensure(self, panels=True):
        """Install what is missing, with consent; raises MagpieError if something is missing in the end."""
        self._exclusively(lambda: self.installLogic.ensure(panels))

    def onCheck(self, *_ignored):
        """Report what this computer offers."""
        if not self.checking.isRunning and self._try(lambda: self.ensure(panels=False), _("Checking")):
            self.checking.start({"kind": "describe_computer"})
            self._startPolling()

    def onInstall(self, *_ignored):
        """Install what is missing, or repair it."""
        if self._try(lambda: self._exclusively(self.installLogic.install), _("Checking")):
            self._showText(_("The packages are installed."))

    def onInstallFolder(self, *_ignored):
        """Install the Python packages from a folder, for computers without a network."""
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder with the packages (*.whl)"))
        if folder and self._try(
            lambda: self._exclusively(lambda: self.installLogic.installFromFolder(folder)), _("Installing")
        ):
            self._showText(_("The packages are installed."))

    def onInstallLog(self, *_ignored):
        """Open the log of the last installation."""
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self.installLogic.environment.log)))

    def onPython(self, entry):
        """Use another Python from the next job on."""
        if self._try(lambda: self._exclusively(lambda: self._choose(entry)), _("Checking")):
            self._showText(self.installLogic.problem() or _("The next computation runs in this Python."))

    def _choose(self, entry):
        environment = self.installLogic.environment
        if entry == _SLICERS:
            PythonSetting.choose("")
        elif entry == _ENVIRONMENT and environment.exists():
            PythonSetting.choose(environment.python)
        else:
            path = self._askForPython()
            if not path:
                return
            PythonReport.require(path)
            if entry == _ENVIRONMENT:
                environment.make(path)
                path = environment.python
            PythonSetting.choose(path)
            if entry == _ENVIRONMENT:
                self.installLogic.install()
                return
        self.installLogic.examine()

    def _askForPython(self):
        """Return the path of a Python that the user chooses; empty for none."""
        dialog = qt.QFileDialog(slicer.util.mainWindow(), _("Python 3.10 to 3.12 (python3, python.exe)"))
        dialog.fileMode = qt.QFileDialog.ExistingFile
        # The Python of a virtual environment is a link to another one, which lacks its packages.
        dialog.setOption(qt.QFileDialog.DontResolveSymlinks)
        return dialog.selectedFiles()[0] if dialog.exec_() else ""

    def _exclusively(self, action):
        """Do one thing at a time: Slicer's window is alive while a Python runs."""
        if self._isBusy:
            raise Cancelled(_("The Python packages are being checked or installed"))
        self._isBusy = True
        status, self._ui.statusLabel.text = self._ui.statusLabel.text, _("Checking the Python packages")
        try:
            action()
        finally:
            self._isBusy = False
            self._ui.statusLabel.text = status
            self.update()

    def _try(self, action, status):
        """Do something that may fail or be declined; returns whether it succeeded."""
        with slicer.util.tryWithErrorDisplay(_("This did not succeed.")):
            self._showText(status)
            try:
                action()
            except Cancelled as cancelled:
                self._showText(str(cancelled))
                return False
            except MagpieError as error:
                self._showText("")
                self._showError(error)
                return False
            return True
        return False

    def _showText(self, text):
        self._ui.checkLabel.text = text


def describe(computer):
    """Return what a computer offers as text, a line for each part."""
    lines = [
        _("Python {python}, PyTorch {torch}").format(**computer),
        _("CPU: {n} threads, {gib} GB of memory free").format(
            n=computer["cpu_threads"], gib=computer["free_memory_gib"]
        ),
    ]
    for gpu in computer["cuda"]:
        text = (
            _("GPU {name} cannot be used: {error}")
            if gpu["error"]
            else _("GPU {name}: {gib} GB free, the test run succeeded")
        )
        lines.append(text.format(name=gpu["name"], gib=gpu["free_memory_gib"], error=gpu["error"]))
    if computer["mps"] is not None:
        error = computer["mps"]["error"]
        lines.append(
            _("GPU of this Mac cannot be used: {error}").format(error=error)
            if error
            else _("GPU of this Mac (MPS): the test run succeeded")
        )
    elif not computer["cuda"]:
        lines.append(_("No usable GPU: a segmentation takes some seconds to a minute on the CPU."))
        if computer["torch_cuda"] is None:
            lines.append(_("This PyTorch is a CPU-only build."))
    return "\n".join(lines)
