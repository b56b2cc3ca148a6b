"""The folder of the corrected cases: chosen once, then remembered in Slicer's settings by both modules."""

import slicer

_KEY = "MAGPIE/CohortFolder"


class CohortFolder:
    """Ties a path line edit to the settings; a closed scene does not empty it.

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
        """Show the folder that either module chose last."""
        self._pathLineEdit.currentPath = slicer.app.userSettings().value(_KEY, "")

    @staticmethod
    def _remember(path):
        slicer.app.userSettings().setValue(_KEY, path)
