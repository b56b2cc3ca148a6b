"""Installation of packages into Slicer's own Python, with consent."""

import contextlib
import importlib
import importlib.metadata
import logging
import sys
import tempfile
import types
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from magpie_core.errors import Cancelled, ResourceError

# Packages that pip must not change: Slicer's own builds, and the torch build for the GPU.
_FROZEN = ("numpy", "scipy", "SimpleITK", "pydicom", "vtk", "pillow", "requests", "torch")


class SlicerPackages:
    """Packages of Slicer's own Python: torch by the PyTorch extension, the others by pip."""

    @staticmethod
    def versions(names):
        """Return name -> version of those that are installed; imports none of them."""
        found = {}
        for name in names:
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                found[name] = importlib.metadata.version(name)
        return found

    @classmethod
    def constraints(cls):
        """Return the constraints for pip that keep the installed versions of Slicer's own packages."""
        return [f"{name}=={version}" for name, version in cls.versions(_FROZEN).items()]

    @classmethod
    def installTorch(cls, requirement):
        """Install torch by the PyTorch extension.

        Raises
        ------
        MagpieError
            Cancelled if the user declines.
        """
        try:
            import PyTorchUtils
        except ImportError:
            raise ResourceError(
                _("The extension PyTorch is not installed"),
                remedy=_("Install it in the Extensions Manager, restart Slicer, and try again"),
            ) from None
        logic, pip = PyTorchUtils.PyTorchUtilsLogic(), cls.versions(["pip"])
        try:
            with _notLoaded("torch"):
                torch = logic.installTorch(askConfirmation=True, torchVersionRequirement=requirement)
        except Exception as error:
            raise cls._failure(error) from error
        if torch is None:
            raise Cancelled(_("Nothing was installed"))
        importlib.invalidate_caches()
        if pip and cls.versions(["pip"]) != pip:
            # light-the-torch, by which the extension finds the build for this GPU, asks for an older pip.
            slicer.util.pip_install(f"pip=={pip['pip']}")

    @classmethod
    def install(cls, packages, folder=None):
        """Install packages without changing Slicer's own, from a folder of wheels if one is given; raises likewise."""
        with tempfile.TemporaryDirectory(prefix="magpie-") as scratch:
            constraints = Path(scratch) / "constraints.txt"
            constraints.write_text("\n".join(cls.constraints()) + "\n", encoding="utf-8")
            try:
                if folder is None:
                    from slicer.packaging import pip_ensure

                    pip_ensure(packages, constraints=str(constraints), requester="MAGPIE")
                else:
                    options = ["--no-index", "--find-links", str(folder), "--constraint", str(constraints)]
                    slicer.util.pip_install([*options, *packages])
            except Exception as error:
                if "declined" in str(error):  # a plain RuntimeError of slicer.packaging
                    raise Cancelled(_("Nothing was installed")) from None
                raise cls._failure(error) from error
        importlib.invalidate_caches()

    @staticmethod
    def _failure(error):
        logging.exception("Cannot install the Python packages of MAGPIE")
        return ResourceError(
            _("The Python packages of MAGPIE were not installed"),
            cause=str(error),
            remedy=_("The Python console shows the output of pip"),
        )


@contextlib.contextmanager
def _notLoaded(name):
    """Keep a package that someone imports out of this process: what is loaded cannot be updated or repaired."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__version__ = ""
    try:
        yield
    finally:
        del sys.modules[name]
