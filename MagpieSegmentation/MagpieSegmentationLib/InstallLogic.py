"""The Python packages that the worker needs, installed with consent."""

import importlib.metadata
import importlib.util
import logging
import tempfile
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from magpie_core.errors import ResourceError

TORCH_REQUIREMENT = ">=2.8"

# Slicer's own builds, and the torch that fits the graphics card: pip is to leave them as they are.
_FROZEN = ("numpy", "scipy", "SimpleITK", "pydicom", "vtk", "pillow", "requests", "torch")


class InstallLogic:
    """Installs what is missing: torch by the PyTorch extension, the rest by pip under Slicer's own versions.

    Parameters
    ----------
    requirementsFile
        The packages beside torch, one requirement a line.
    """

    def __init__(self, requirementsFile):
        self._requirementsFile = Path(requirementsFile)

    def isComplete(self):
        """Whether everything is there. Imports nothing: torch must not be loaded into Slicer's process."""
        return self.hasTorch() and not self.missingPackages()

    @classmethod
    def hasTorch(cls):
        """Whether a torch is installed that is new enough."""
        return cls._isMet(f"torch{TORCH_REQUIREMENT}")

    def requirements(self):
        """The packages beside torch, as pip reads them."""
        lines = self._requirementsFile.read_text(encoding="utf-8").splitlines()
        return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]

    def missingPackages(self):
        """The requirements that are not met."""
        return [requirement for requirement in self.requirements() if not self._isMet(requirement)]

    def install(self):
        """Install what is missing, after asking.

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
                _("The Python packages of MAGPIE are not complete"),
                cause=", ".join(self.missingPackages()) or "torch",
                remedy=_("Restart Slicer and try again; the Python console shows what pip said"),
            )

    def installFromFolder(self, folder):
        """Install torch and the rest from package files in a folder; the network is not used.

        Raises
        ------
        ResourceError
            If the folder holds no package file, or not all that is needed.
        """
        if not any(Path(folder).glob("*.whl")):
            raise ResourceError(
                _("The folder holds no packages"),
                cause=_("no file in it ends in .whl"),
                remedy=_(
                    "Collect them with 'pip download' on a computer of the same kind that has a network"
                ),
                source=str(folder),
            )
        missing = self.missingPackages()
        if not self.hasTorch():
            missing.insert(0, f"torch{TORCH_REQUIREMENT}")
        if missing:
            self._installPackages(missing, folder)

    @staticmethod
    def constraints():
        """Lines for pip that keep Slicer's own packages as they are."""
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
        logic = PyTorchUtils.PyTorchUtilsLogic()
        if logic.installTorch(askConfirmation=True, torchVersionRequirement=TORCH_REQUIREMENT) is None:
            raise ResourceError(
                _("PyTorch was not installed"), remedy=_("Press the button again to be asked again")
            )

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
                logging.exception("installing the packages of MAGPIE")
                raise ResourceError(
                    _("The Python packages of MAGPIE were not installed"),
                    cause=str(error),
                    remedy=_("The Python console shows what pip said"),
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
