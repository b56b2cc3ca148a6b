"""The Python packages of MAGPIE: what is missing or broken, and its installation, with consent."""

from pathlib import Path

import slicer
from packaging.requirements import Requirement
from slicer.i18n import tr as _

from magpie_core.errors import Cancelled, ResourceError

from .MacArchitecture import MacArchitecture
from .PythonEnvironment import PythonEnvironment
from .PythonReport import PythonReport, isMet
from .PythonSetting import PythonSetting
from .SlicerPackages import SlicerPackages

TORCH_REQUIREMENT = ">=2.8"

_TORCH = f"torch{TORCH_REQUIREMENT}"
# What the worker needs besides the requirements, and Slicer's own Python has.
_OF_SLICER = ("SimpleITK>=2.3", "numpy>=1.26,<3", "scipy>=1.11")
# What the panels need in Slicer's own Python wherever the worker runs: they read cases and versions themselves.
_OF_PANELS = ("filelock", "nibabel", "pyyaml")

_reports = {}  # (command, names of packages) -> PythonReport: what was found last in this session


class InstallLogic:
    """Finds out what is missing, and installs it: into Slicer's own Python, or into MAGPIE's own environment.

    A Python that the user named is not changed. Nothing here imports torch.

    Parameters
    ----------
    requirementsFile
        Path of the requirements other than torch, one per line.
    environment
        PythonEnvironment; that of the user by default.
    """

    def __init__(self, requirementsFile, environment=None):
        self._requirementsFile = Path(requirementsFile)
        self.environment = environment or PythonEnvironment()

    def requirements(self):
        """Return the requirements other than torch."""
        lines = self._requirementsFile.read_text(encoding="utf-8").splitlines()
        needed = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
        return [*_OF_SLICER, *needed] if PythonSetting.path() else needed

    def isComplete(self):
        """Whether nothing is known to be missing or broken. Quick: starts no Python."""
        return not self.problem()

    def hasTorch(self):
        """Whether torch is installed in a supported version, as far as is known without starting a Python."""
        report = self._known()
        return report is None or isMet(_TORCH, report.versions)

    def missingPackages(self):
        """Return the requirements other than torch that are not met, as far as is known without starting a Python."""
        report = self._known()
        missing = [] if report is None else report.missing(self.requirements())
        return missing + [requirement for requirement in self._missingInPanels() if requirement not in missing]

    def problem(self):
        """Return what is missing or broken in a sentence, as far as is known without starting a Python; or ""."""
        if not PythonSetting.path() and not self.hasTorch() and MacArchitecture().whyNoTorch():
            return str(self._noTorchForIntel())
        report = self._known()
        if report is not None and (report.failure or report.version) and self._unsuitable(report):
            reason = self._unsuitable(report)
            return _("The Python for computations cannot be used: {reason}.").format(reason=reason)
        missing = [] if report is None else report.missing([_TORCH, *self.requirements()])
        if missing:
            return _("Python packages are missing: {names}.").format(names=_names(missing))
        if self.isBroken():
            return _("PyTorch is installed but does not work: {reason}.").format(reason=report.torchError)
        missing = _names(self._missingInPanels())
        return missing and _("Fine-tuning needs packages in Slicer's own Python: {names}.").format(names=missing)

    def isBroken(self):
        """Whether torch is installed but does not work, as found last."""
        report = self._known()
        return report is not None and bool(report.torchError) and not report.missing([_TORCH])

    def canInstall(self):
        """Whether `install` can help."""
        if not PythonSetting.path():
            return self.hasTorch() or not MacArchitecture().whyNoTorch()
        return self._isOwnEnvironment() or bool(self._missingInPanels())

    def examine(self):
        """Run the Python for computations, and return its PythonReport."""
        names = [Requirement(requirement).name for requirement in (_TORCH, *self.requirements())]
        report = PythonReport.of(PythonSetting.command(), PythonSetting.environment(), names)
        _reports[self._key()] = report
        return report

    def ensure(self, panels=True):
        """Install what is missing, with consent; the first time in a session, the Python is run to find out.

        Parameters
        ----------
        panels
            Whether the packages that the panels need in Slicer's own Python are needed too.

        Raises
        ------
        MagpieError
            Cancelled if the user declines; ResourceError if something is missing in the end.
        """
        report = _reports.get(self._key())
        if report is None or self._workerProblem(report):
            self._ensureWorker()
        if panels and self._missingInPanels():
            SlicerPackages.install(self._missingInPanels())

    def install(self):
        """Install what is missing, and torch again if it is broken, with consent; raises as `ensure`."""
        self._ensureWorker()
        self.ensure()

    def installFromFolder(self, folder):
        """Install torch and the other packages from wheels in a folder, without a network; raises as `ensure`."""
        if not any(Path(folder).glob("*.whl")):
            raise ResourceError(
                _("The folder holds no packages"),
                cause=_("it has no .whl file"),
                remedy=_("Run 'pip download' on a computer of the same kind with a network, and copy the files"),
                source=str(folder),
            )
        self._ensureWorker(folder)
        if self._missingInPanels():
            SlicerPackages.install(self._missingInPanels(), folder)

    def _ensureWorker(self, folder=None):
        report = self.examine()
        problem = self._workerProblem(report)
        if not problem:
            return
        if PythonSetting.path() and (self._unsuitable(report) or not self._isOwnEnvironment()):
            raise ResourceError(
                _("The Python for computations cannot be used"),
                cause=problem,
                remedy=_(
                    "Install there what is missing, or choose another one in the section This computer: Slicer's own, "
                    "or an environment that MAGPIE makes"
                ),
                source=PythonSetting.path(),
            )
        if self._unsuitable(report):
            raise self._noTorchForIntel() if not report.failure else ResourceError(problem)
        missing = report.missing([_TORCH, *self.requirements()])
        if not missing:
            self._removeTorch(report.torchError)
            missing = [_TORCH]
        torch = _TORCH if _TORCH in missing else ""
        others = [requirement for requirement in missing if requirement != torch]
        if PythonSetting.path():
            self._confirmDownload(missing, folder)
            self.environment.install(others, torch, folder)
        elif folder is not None:
            SlicerPackages.install(missing, folder)
        else:
            if torch:
                SlicerPackages.installTorch(TORCH_REQUIREMENT)
            if others:
                SlicerPackages.install(others)
        problem = self._workerProblem(self.examine())
        if problem:
            raise ResourceError(
                _("Python packages of MAGPIE are missing or broken"),
                cause=problem,
                remedy=_("Restart Slicer and try again; the Python console shows the output of pip"),
            )

    def _workerProblem(self, report):
        """Return what keeps the worker from running in a Python, as a clause; or ""."""
        missing = [] if report.version is None else report.missing([_TORCH, *self.requirements()])
        lacks = _("it lacks {names}").format(names=_names(missing)) if missing else ""
        broken = _("PyTorch does not work: {reason}").format(reason=report.torchError) if report.torchError else ""
        return self._unsuitable(report) or lacks or broken

    def _known(self):
        """Return the PythonReport of the worker's Python without starting it; None if it is another that was not run.

        The packages of Slicer's own Python can be seen from here.
        """
        report = _reports.get(self._key())
        if report is None and not PythonSetting.path():
            names = [Requirement(requirement).name for requirement in (_TORCH, *self.requirements())]
            return PythonReport(versions=SlicerPackages.versions(names))
        return report

    def _key(self):
        return (*PythonSetting.command(), *self.requirements())

    def _missingInPanels(self):
        needed = [one for one in self.requirements() if Requirement(one).name.lower() in _OF_PANELS]
        versions = SlicerPackages.versions([Requirement(requirement).name for requirement in needed])
        return [requirement for requirement in needed if not isMet(requirement, versions)]

    def _isOwnEnvironment(self):
        return Path(PythonSetting.path()) == self.environment.python

    @staticmethod
    def _unsuitable(report):
        return report.unsuitable(isSlicers=not PythonSetting.path())

    def _removeTorch(self, reason):
        question = _("PyTorch is installed but does not work:\n{reason}\n\nRemove it and install it again?")
        self._confirm(question.format(reason=reason))
        if PythonSetting.path():
            self.environment.remove("torch")
        else:
            slicer.util.pip_uninstall("torch")

    def _confirmDownload(self, packages, folder):
        source = (
            _("They are downloaded: up to several gigabytes. Slicer's own Python is not changed.")
            if folder is None
            else _("They are taken from {folder}.").format(folder=folder)
        )
        question = _("Install these Python packages in {place}?\n\n{names}\n\n{source}")
        self._confirm(question.format(place=self.environment.folder, names=_names(packages), source=source))

    @staticmethod
    def _confirm(question):
        if not slicer.util.confirmOkCancelDisplay(question, windowTitle="MAGPIE"):
            raise Cancelled(_("Nothing was installed"))

    @staticmethod
    def _noTorchForIntel():
        mac = MacArchitecture()
        return ResourceError(_("This Slicer cannot run PyTorch"), cause=mac.whyNoTorch(), remedy=mac.remedy())


def _names(requirements):
    return ", ".join("PyTorch" if one == _TORCH else Requirement(one).name for one in requirements)
