"""Section Cases: the cases of the cohort and their integrity."""

import qt
import slicer
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
        self._names = []
        self._folder = CohortFolder(ui.cohortPath)
        ui.cohortPath.connect("currentPathChanged(QString)", self.update)
        ui.checkCasesButton.connect("clicked(bool)", self.onCheck)
        ui.acceptEditButton.connect("clicked(bool)", self.onAcceptEdit)
        ui.casesTable.connect("itemSelectionChanged()", self.onSelect)

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
            corrected = f"{case.annotator}\n{case.added[:10]}"
            for column, cell in enumerate((case.name.replace("_", "\n"), corrected, changed)):
                table.setItem(row, column, textCell(cell, isNumber=column == 2))
        fitToContent(table, stretch=1)
        self._names = [case.name for case in cases]
        self.onSelect()

    def onSelect(self, *_ignored):
        """Enable what can be done with the selected case."""
        enable(
            self._ui.acceptEditButton,
            "" if self._selected() else _("Choose a case in the table"),
            _("Take the segmentation of this case as it is now, after it was edited in another program"),
        )

    def onCheck(self, *_ignored):
        """List problems of the cohort."""
        from magpie_core.cohort.cohort import Cohort

        problems = Cohort(self._ui.cohortPath.currentPath).check()
        self._ui.cohortLabel.text = "\n".join(problems) or _("All cases are complete and unchanged.")

    def onAcceptEdit(self, *_ignored):
        """Accept the segmentation of the selected case as it was edited, with a reason for the log."""
        from magpie_core.cohort.cohort import Cohort

        dialog = qt.QInputDialog(slicer.util.mainWindow())
        dialog.setWindowTitle(_("Accept edit"))
        dialog.setLabelText(_("Reason:"))
        if not dialog.exec_():
            return
        name = self._selected()
        try:
            cohort = Cohort(self._ui.cohortPath.currentPath)
            cohort.accept_edit(name, user=FinetuningLogic.userName(), reason=dialog.textValue())
        except MagpieError as error:
            self._ui.cohortLabel.text = str(error)
        else:
            self._ui.cohortLabel.text = _("The edited segmentation of {name} is accepted.").format(name=name)

    def _selected(self):
        row = self._ui.casesTable.currentRow()
        return self._names[row] if 0 <= row < len(self._names) else None
