"""Setting "Python for computations": Slicer's own Python, or another one that the worker runs in."""

import os
import shutil
import sys

import slicer

from .MacArchitecture import MacArchitecture

_KEY = "MAGPIE/Python"


class PythonSetting:
    """The Python of the worker, kept in Slicer's settings."""

    @staticmethod
    def path():
        """Return the path of the Python that was chosen; empty for Slicer's own."""
        return str(slicer.app.userSettings().value(_KEY, "") or "")

    @staticmethod
    def choose(path):
        """Use a Python from the next job on; empty for Slicer's own."""
        slicer.app.userSettings().setValue(_KEY, str(path))

    @classmethod
    def command(cls):
        """Return the command that starts the chosen Python: PythonSlicer by default."""
        path = cls.path()
        return cls.commandOf(path) if path else [shutil.which("PythonSlicer") or sys.executable]

    @staticmethod
    def commandOf(path):
        """Return the command that starts a Python other than Slicer's."""
        return [*MacArchitecture().prefix(), str(path)]

    @classmethod
    def environment(cls):
        """Return the environment of the chosen Python; None for that of this process."""
        return cls.environmentOf(cls.path())

    @staticmethod
    def environmentOf(path):
        """Return the environment of a Python: one other than Slicer's must not see Slicer's packages and libraries."""
        if not path:
            return None
        ours = {name: value for name, value in os.environ.items() if name.startswith("MAGPIE_")}
        return {**slicer.util.startupEnvironment(), **ours}
