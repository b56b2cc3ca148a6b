"""What a Python offers for the computations, found out by running it."""

import json
import tempfile

from packaging.requirements import Requirement
from slicer.i18n import tr as _

from magpie_core.errors import ResourceError

from .ChildProcess import runChild
from .MacArchitecture import MacArchitecture
from .PythonSetting import PythonSetting

OLDEST, NEWEST = (3, 10), (3, 12)
_TIMEOUT_S = 300  # the first import of torch from a slow disk takes minutes

# Each line is written at once: what follows may crash. Old Pythons must get through the first one.
_PROBE = """
import json, platform, sys
def tell(**facts):
    print("magpie:" + json.dumps(facts))
    sys.stdout.flush()
tell(version=list(sys.version_info[:3]), machine=platform.machine())
from importlib.metadata import PackageNotFoundError, version
versions = {}
for name in sys.argv[1:]:
    try:
        versions[name] = version(name)
    except PackageNotFoundError:
        pass
tell(versions=versions, torchError="")
if "torch" in versions:
    tell(torchError="it crashed while it was loaded")
    try:
        import torch
        torch.ones(2).sum()
        tell(torchError="")
    except BaseException as error:
        tell(torchError="%s: %s" % (type(error).__name__, error))
"""


class PythonReport:
    """What a Python offers.

    Attributes
    ----------
    version
        (major, minor, micro); None if it does not run.
    machine
        As `platform.machine()`.
    versions
        Name -> version of the packages that were asked for and are installed.
    torchError
        Why torch, which is installed, cannot be used; empty if it can.
    failure
        Why the Python cannot be used at all; empty if it can.
    """

    def __init__(self, version=None, machine="", versions=None, torchError="", failure=""):
        self.version = None if version is None else tuple(version)
        self.machine = machine
        self.versions = versions or {}
        self.torchError = torchError
        self.failure = failure

    @classmethod
    def of(cls, command, environment, names):
        """Run a Python and return its report.

        Parameters
        ----------
        command
            Command that starts it.
        environment
            Its environment; None for that of this process.
        names
            Names of the packages to look for.
        """
        with tempfile.TemporaryFile() as output:
            try:
                runChild([*command, "-c", _PROBE, *names], output, environment, _TIMEOUT_S)
            except OSError as error:
                return cls(failure=error.strerror or str(error))
            output.seek(0)
            lines = output.read().decode("utf-8", errors="replace").splitlines()
        facts = {}
        for line in lines:
            if line.startswith("magpie:"):
                facts.update(json.loads(line[len("magpie:") :]))
        if "version" not in facts:
            return cls(failure=next((line for line in reversed(lines) if line.strip()), _("it wrote nothing")))
        return cls(**facts)

    @classmethod
    def require(cls, path):
        """Raise ResourceError if a Python that the user names cannot be used, whatever is installed in it."""
        report = cls.of(PythonSetting.commandOf(path), PythonSetting.environmentOf(path), [])
        reason = report.unsuitable(isSlicers=False)
        if reason:
            raise ResourceError(
                _("This Python cannot be used"),
                cause=reason,
                remedy=_("Choose a Python 3.10 to 3.12"),
                source=str(path),
            )

    def unsuitable(self, isSlicers, mac=None):
        """Return why this Python cannot be used for computations, whatever is installed in it; empty if it can.

        Parameters
        ----------
        isSlicers
            Whether it is Slicer's own, whose version is as it is.
        mac
            MacArchitecture.
        """
        if self.failure:
            return _("it does not run as a Python: {reason}").format(reason=self.failure)
        if not isSlicers and not OLDEST <= self.version[:2] <= NEWEST:
            found, oldest, newest = (".".join(map(str, one)) for one in (self.version, OLDEST, NEWEST))
            return _("it is Python {found}, and {oldest} to {newest} are supported").format(
                found=found, oldest=oldest, newest=newest
            )
        return (mac or MacArchitecture()).whyNoTorch(self.machine)

    def missing(self, requirements):
        """Return the requirements that the installed versions do not meet."""
        return [requirement for requirement in requirements if not isMet(requirement, self.versions)]


def isMet(requirement, versions):
    """Whether a requirement is met by versions: name -> version."""
    parsed = Requirement(requirement)
    version = versions.get(parsed.name)
    return version is not None and parsed.specifier.contains(version, prereleases=True)
