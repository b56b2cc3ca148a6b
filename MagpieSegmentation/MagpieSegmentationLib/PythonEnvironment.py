"""A Python environment of MAGPIE's own, apart from Slicer's Python and from those of the user."""

import os
import shutil
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from magpie_core.errors import Cancelled, ResourceError
from magpie_core.models.registry import site_versions

from .ChildProcess import runChild
from .PythonSetting import PythonSetting


class PythonEnvironment:
    """A virtual environment beside the site's versions of the model.

    Parameters
    ----------
    folder
        Where it is instead.
    """

    def __init__(self, folder=None):
        self.folder = Path(folder) if folder else site_versions().folder / "python"

    @property
    def python(self):
        """Path of its Python."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def log(self):
        """Path of the log of the last installation."""
        return self.folder.with_name("install.log")

    def exists(self):
        """Whether it was made."""
        return self.python.exists()

    def make(self, base):
        """Make the environment from a Python; needs no network.

        Raises
        ------
        MagpieError
            If it fails, or the user cancels it.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_text("", encoding="utf-8")
        command = [*PythonSetting.commandOf(base), "-m", "venv", "--clear", str(self.folder)]
        try:
            self._run(_("Making a Python environment"), command)
        except Exception:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def install(self, requirements, torchRequirement="", folder=None):
        """Install packages, from a folder of wheels if one is given.

        Parameters
        ----------
        requirements
            Requirements other than torch.
        torchRequirement
            Requirement of torch; empty if it is there.
        folder
            Folder of wheels; None for the network, where light-the-torch finds the build of torch for this GPU.

        Raises
        ------
        MagpieError
            If it fails, or the user cancels it.
        """
        self.log.write_text("", encoding="utf-8")
        python = PythonSetting.commandOf(self.python)
        pip = [*python, "-m", "pip", "install", "--disable-pip-version-check"]
        title = _("Installing Python packages")
        if folder is not None:
            wanted = [one for one in (torchRequirement, *requirements) if one]
            self._run(title, [*pip, "--no-index", "--find-links", str(folder), *wanted])
            return
        if torchRequirement:
            self._run(title, [*pip, "light-the-torch>=0.8"])
            self._run(title, [*python, "-m", "light_the_torch", "install", torchRequirement])
        if requirements:
            self._run(title, [*pip, *requirements])

    def remove(self, package):
        """Remove a package, to install it anew."""
        pip = [*PythonSetting.commandOf(self.python), "-m", "pip", "uninstall", "--yes", package]
        self._run(_("Removing {name}").format(name=package), pip)

    def _run(self, title, command):
        """Run a step with a progress dialog; what it writes is appended to the log."""
        import qt

        dialog = qt.QProgressDialog(title, _("Cancel"), 0, 0, slicer.util.mainWindow())
        dialog.windowTitle = "MAGPIE"
        dialog.minimumDuration = 0
        dialog.modal = True
        dialog.show()
        try:
            with self.log.open("ab") as output:
                output.write(f"$ {' '.join(command)}\n".encode())
                output.flush()
                environment = PythonSetting.environmentOf(self.python)
                exitCode = runChild(command, output, environment, isCancelled=lambda: dialog.wasCanceled)
        except OSError as error:
            raise ResourceError(title, cause=str(error), source=str(command[0])) from error
        finally:
            dialog.close()
            dialog.deleteLater()
        if exitCode is None:
            raise Cancelled(_("The installation was cancelled"))
        if exitCode != 0:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
            raise ResourceError(
                _("The Python packages of MAGPIE were not installed"),
                cause=next((line for line in reversed(lines) if line.strip()), ""),
                remedy=_("Open the log in the section This computer, or install from a folder"),
            )
