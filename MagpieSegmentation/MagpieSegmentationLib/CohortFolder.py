"""The folder of the corrected cases, remembered in Slicer's settings by both modules."""

import slicer

_KEY = "MAGPIE/CohortFolder"


class CohortFolder:
    """Binds a path line edit to the settings; closing a scene does not clear it.

    Parameters
    ----------
    pathLineEdit
        ctkPathLineEdit of a module.
    """

    def __init__(self, pathLineEdit):
        self._pathLineEdit = pathLineEdit
        self.refresh()
        pathLineEdit.connect("currentPathChanged(QString)", self._remember)

    def refresh(self):
        """Show the folder that was chosen last in either module."""
        self._pathLineEdit.currentPath = slicer.app.userSettings().value(_KEY, "")

    @staticmethod
    def _remember(path):
        slicer.app.userSettings().setValue(_KEY, path)
