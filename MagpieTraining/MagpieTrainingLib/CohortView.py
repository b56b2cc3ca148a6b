"""Section Cases: the cases of the cohort and their integrity."""

from MagpieSegmentationLib.CohortFolder import CohortFolder
from MagpieSegmentationLib.FinetuningLogic import FinetuningLogic
from MagpieSegmentationLib.Formatting import percentText
from MagpieSegmentationLib.Tables import fitToContent, textCell
from MagpieSegmentationLib.WidgetState import enable
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
        self._isOpen = False
        self._folder = CohortFolder(ui.cohortPath)
        ui.cohortPath.connect("currentPathChanged(QString)", self.update)
        ui.checkCasesButton.connect("clicked(bool)", self.onCheck)

    def enter(self):
        """Read the cohort folder again: the Segmentation module may have changed it."""
        self._isOpen = True
        self._folder.refresh()
        self.update()

    def update(self, *_ignored):
        """List the cases; not before the first `enter`, when packages may be missing."""
        if not self._isOpen:
            return
        folder = self._ui.cohortPath.currentPath
        cases, text = [], _("Choose the folder of the corrected cases.")
        if folder:
            text = _("No cases yet: add the first in MAGPIE Glioma Segmentation, section Fine-tune.")
            try:
                cases = FinetuningLogic.cases(folder)
            except MagpieError as error:
                text = str(error)
            if cases:
                text = _("{n} cases of {patients} patients").format(
                    n=len(cases), patients=len({case.patient for case in cases})
                )
        self._ui.cohortLabel.text = text
        enable(
            self._ui.checkCasesButton, "" if cases else _("There are no cases"), _("Verify the checksum of every file")
        )
        table = self._ui.casesTable
        table.setRowCount(len(cases))
        for row, case in enumerate(cases):
            changed = "" if case.edited is None else percentText(case.edited)
            for column, cell in enumerate((case.name, case.annotator, case.added[:10], changed)):
                table.setItem(row, column, textCell(cell, isNumber=column == 3))
        fitToContent(table, stretch=1)

    def onCheck(self, *_ignored):
        """List problems of the cohort."""
        from magpie_core.cohort.cohort import Cohort

        problems = Cohort(self._ui.cohortPath.currentPath).check()
        self._ui.cohortLabel.text = "\n".join(problems) or _("All cases are complete and unchanged.")
