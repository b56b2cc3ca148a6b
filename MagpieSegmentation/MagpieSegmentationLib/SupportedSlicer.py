"""The oldest Slicer that is supported; readable by every Slicer, so no syntax newer than Python 3.9 and few imports."""

import slicer
from slicer.i18n import tr as _

OLDEST = (5, 12)


def isSupported():
    """Whether this Slicer is new enough for MAGPIE."""
    return (slicer.app.majorVersion, slicer.app.minorVersion) >= OLDEST


def showUnsupported(layout):
    """Show one sentence in place of a panel."""
    import qt

    label = qt.QLabel(
        _("MAGPIE needs Slicer {oldest} or later; this is Slicer {found}. Install the current Slicer.").format(
            oldest="{}.{}".format(*OLDEST), found=slicer.app.applicationVersion
        )
    )
    label.objectName = "unsupportedLabel"
    label.wordWrap = True
    layout.addWidget(label)
    layout.addStretch(1)
