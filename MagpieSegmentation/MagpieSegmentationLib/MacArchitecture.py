"""What the architecture of a Mac means for PyTorch: Slicer for macOS is built for Intel, and current PyTorch is not."""

import platform
import subprocess

from slicer.i18n import tr as _


class MacArchitecture:
    """The architecture of a Mac, and whether this Slicer is a build for Intel.

    Parameters
    ----------
    system, machine
        As returned by `platform.system()` and `platform.machine()`, which are the defaults.
    sysctl
        Function that returns the value of a system variable as text, or "".
    """

    def __init__(self, system=None, machine=None, sysctl=None):
        self._sysctl = sysctl or _sysctl
        self.slicerIsForIntel = (system or platform.system(), machine or platform.machine()) == ("Darwin", "x86_64")

    def isAppleSilicon(self):
        """Whether an Intel build of Slicer runs on Apple silicon, where a native Python runs PyTorch."""
        names = ("sysctl.proc_translated", "hw.optional.arm64")
        return self.slicerIsForIntel and any(self._sysctl(name) == "1" for name in names)

    def prefix(self):
        """Return what precedes a command so that a universal program started by this Slicer runs natively."""
        return ["/usr/bin/arch", "-arm64"] if self.isAppleSilicon() else []

    def whyNoTorch(self, machine=None):
        """Return why a Python for an architecture cannot run PyTorch; empty if it can.

        Parameters
        ----------
        machine
            As `platform.machine()` in that Python; by default that of this Slicer.
        """
        if not self.slicerIsForIntel or machine == "arm64":
            return ""
        return _("it is made for Intel CPUs, and PyTorch for the Mac needs Apple silicon (arm64)")

    def remedy(self):
        """Return what helps on this Mac."""
        if self.isAppleSilicon():
            return _(
                "Install a Python 3.10 to 3.12 for Apple silicon, e.g. of python.org, and choose it in the section "
                "This computer, at Python for computations"
            )
        return _("Use a Mac with Apple silicon, or a computer with Windows or Linux")


def _sysctl(name):
    try:
        done = subprocess.run(["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()
