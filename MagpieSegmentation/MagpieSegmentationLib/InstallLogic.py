"""Installation of the Python packages of the worker, with consent."""

import importlib.metadata
import importlib.util
import logging
import tempfile
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from magpie_core.errors import ResourceError

TORCH_REQUIREMENT = ">=2.8"

# Packages that pip must not change: Slicer's own builds, and the torch build for the GPU.
_FROZEN = ("numpy", "scipy", "SimpleITK", "pydicom", "vtk", "pillow", "requests", "torch")


class InstallLogic:
    """Installs missing packages: torch by the PyTorch extension, the others by pip without changing Slicer's own.

    Parameters
    ----------
    requirementsFile
        Path of the requirements other than torch, one per line.
    """

    def __init__(self, requirementsFile):
        self._requirementsFile = Path(requirementsFile)

    def isComplete(self):
        """Whether all packages are installed. Imports none of them: torch must not be loaded into Slicer's process."""
        return self.hasTorch() and not self.missingPackages()

    @classmethod
    def hasTorch(cls):
        """Whether torch is installed in a supported version."""
        return cls._isMet(f"torch{TORCH_REQUIREMENT}")

    def requirements(self):
        """Return the requirements other than torch."""
        lines = self._requirementsFile.read_text(encoding="utf-8").splitlines()
        return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]

    def missingPackages(self):
        """Return the requirements that are not met."""
        return [requirement for requirement in self.requirements() if not self._isMet(requirement)]

    def install(self):
        """Install missing packages, with consent.

        Raises
        ------
        ResourceError
            If the user declines, or if an installation fails.
        """
        if not self.hasTorch():
            self._installTorch()
        missing = self.missingPackages()
        if missing:
            self._installPackages(missing)
        if not self.isComplete():
            raise ResourceError(
                _("Python packages of MAGPIE are missing"),
                cause=", ".join(self.missingPackages()) or "torch",
                remedy=_("Restart Slicer and try again; the Python console shows the output of pip"),
            )

    def installFromFolder(self, folder):
        """Install torch and the other packages from wheels in a folder, without a network.

        Raises
        ------
        ResourceError
            If the folder lacks wheels that are needed.
        """
        if not any(Path(folder).glob("*.whl")):
            raise ResourceError(
                _("The folder holds no packages"),
                cause=_("it has no .whl file"),
                remedy=_("Run 'pip download' on a computer of the same kind with a network, and copy the files"),
                source=str(folder),
            )
        missing = self.missingPackages()
        if not self.hasTorch():
            missing.insert(0, f"torch{TORCH_REQUIREMENT}")
        if missing:
            self._installPackages(missing, folder)

    @staticmethod
    def constraints():
        """Return the constraints for pip that keep the installed versions of Slicer's own packages."""
        lines = []
        for name in _FROZEN:
            try:
                lines.append(f"{name}=={importlib.metadata.version(name)}")
            except importlib.metadata.PackageNotFoundError:
                continue
        return lines

    @staticmethod
    def _isMet(requirement):
        from packaging.requirements import Requirement

        parsed = Requirement(requirement)
        try:
            return parsed.specifier.contains(importlib.metadata.version(parsed.name), prereleases=True)
        except importlib.metadata.PackageNotFoundError:
            return False

    @staticmethod
    def _installTorch():
        try:
            import PyTorchUtils
        except ImportError:
            raise ResourceError(
                _("The extension PyTorch is not installed"),
                remedy=_("Install it in the Extensions Manager, restart Slicer, and try again"),
            ) from None
        logic, cause = PyTorchUtils.PyTorchUtilsLogic(), ""
        try:
            torch = logic.installTorch(askConfirmation=True, torchVersionRequirement=TORCH_REQUIREMENT)
        except Exception as error:
            torch, cause = None, str(error)
        if torch is None:
            raise ResourceError(_("PyTorch was not installed"), cause=cause, remedy=_("Try again"))

    def _installPackages(self, packages, folder=None):
        with tempfile.TemporaryDirectory(prefix="magpie-") as scratch:
            constraints = Path(scratch) / "constraints.txt"
            constraints.write_text("\n".join(self.constraints()) + "\n", encoding="utf-8")
            try:
                if folder is None:
                    self._pip(packages, constraints)
                else:
                    options = ["--no-index", "--find-links", str(folder), "--constraint", str(constraints)]
                    slicer.util.pip_install([*options, *packages])
            except ResourceError:
                raise
            except Exception as error:
                logging.exception("Cannot install the Python packages of MAGPIE")
                raise ResourceError(
                    _("The Python packages of MAGPIE were not installed"),
                    cause=str(error),
                    remedy=_("The Python console shows the output of pip"),
                ) from error

    @staticmethod
    def _pip(packages, constraints):
        if importlib.util.find_spec("slicer.packaging") is not None:
            from slicer.packaging import pip_ensure

            pip_ensure(packages, constraints=str(constraints), requester="MAGPIE")
            return
        # Slicer 5.10 has no slicer.packaging
        question = _("MAGPIE needs these Python packages:\n\n{names}\n\nInstall them now?")
        if not slicer.util.confirmOkCancelDisplay(question.format(names="\n".join(packages))):
            raise ResourceError(_("The installation was declined"))
        slicer.util.pip_install(["--constraint", str(constraints), *packages])
