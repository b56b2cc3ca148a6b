"""Section Cases: which cases there are, and whether they are whole."""

import qt
from MagpieSegmentationLib.CohortFolder import CohortFolder
from MagpieSegmentationLib.FinetuningLogic import FinetuningLogic
from slicer.i18n import tr as _

from magpie_core.errors import MagpieError


class CohortView:
    """A table of the cases of a cohort.

    Parameters
    ----------
    ui
        Widgets by name.
    """

    def __init__(self, ui):
        self._ui = ui
        self._folder = CohortFolder(ui.cohortPath)
        ui.cohortPath.connect("currentPathChanged(QString)", self.update)
        ui.checkCasesButton.connect("clicked(bool)", self.onCheck)
        self.update()

    def enter(self):
        """The module is opened: the other one may have chosen another folder."""
        self._folder.refresh()
        self.update()

    def update(self, *_ignored):
        """List the cases."""
        folder = self._ui.cohortPath.currentPath
        cases, text = [], _("Choose the folder of the corrected cases.")
        if folder:
            text = _("No cases yet: add the first in MAGPIE Glioma Segmentation, section Teach.")
            try:
                cases = FinetuningLogic.cases(folder)
            except MagpieError as error:
                text = str(error)
            if cases:
                text = _("{n} cases of {patients} patients").format(
                    n=len(cases), patients=len({case.patient for case in cases})
                )
        self._ui.cohortLabel.text = text
        self._ui.checkCasesButton.enabled = bool(cases)
        self._ui.checkCasesButton.toolTip = (
            _("Compare every file with what was added") if cases else _("There are no cases")
        )
        table = self._ui.casesTable
        table.setRowCount(len(cases))
        for row, case in enumerate(cases):
            changed = (
                "" if case.edited is None else _("{percent} %").format(percent=f"{100 * case.edited:.0f}")
            )
            for column, words in enumerate((case.name, case.annotator, case.added[:10], changed)):
                table.setItem(row, column, qt.QTableWidgetItem(words))

    def onCheck(self, *_ignored):
        """Say what is wrong with the cohort."""
        from magpie_core.cohort.cohort import Cohort

        problems = Cohort(self._ui.cohortPath.currentPath).check()
        self._ui.cohortLabel.text = "\n".join(problems) or _("All cases are whole and unchanged.")
