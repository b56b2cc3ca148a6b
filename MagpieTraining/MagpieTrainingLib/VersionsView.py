"""Section Models: versions, their model cards, and rollback."""

import qt
import slicer
from MagpieSegmentationLib.Tables import fitToContent, textCell
from MagpieSegmentationLib.WidgetState import enable
from slicer.i18n import tr as _

from magpie_core.errors import MagpieError

_VERDICT = 2


class VersionsView:
    """A table of the model versions of this site.

    Parameters
    ----------
    ui
        Widgets by name.
    logic
        FinetuningLogic.
    showError
        Function that shows a MagpieError.
    """

    def __init__(self, ui, logic, showError):
        self._ui = ui
        self._logic = logic
        self._showError = showError
        self._names = []
        self._inUse = []
        ui.versionsTable.connect("itemSelectionChanged()", self.onSelect)
        ui.useButton.connect("clicked(bool)", self.onUse)
        ui.verifyButton.connect("clicked(bool)", self.onVerify)
        ui.exportButton.connect("clicked(bool)", self.onExport)
        ui.backButton.connect("clicked(bool)", self.onBack)

    def update(self):
        """List the versions."""
        rows, problem = [], ""
        try:
            rows = self._logic.versions()
        except MagpieError as error:
            problem = str(error)
        self._names = [name for name, _inUse, _verdict in rows]
        self._inUse = [inUse for _name, inUse, _verdict in rows]
        table = self._ui.versionsTable
        table.setRowCount(len(rows))
        for row, (name, inUse, verdict) in enumerate(rows):
            for column, text in enumerate((name, _("in use") if inUse else "", verdict[0] if verdict else "")):
                table.setItem(row, column, textCell(text))
        fitToContent(table, stretch=_VERDICT)
        self.onSelect()
        if problem:
            self._ui.cardLabel.text = problem

    def onSelect(self, *_ignored):
        """Show the model card of the selected version."""
        name, row = self._selected(), self._ui.versionsTable.currentRow()
        reason = _("Choose a version in the table") if name is None else ""
        isUsed = name is not None and self._inUse[row]
        enable(
            self._ui.useButton,
            reason or (_("It is in use already") if isUsed else ""),
            _("Segment with this version from now on"),
        )
        enable(self._ui.verifyButton, reason, _("Verify the checksum of every file"))
        enable(self._ui.exportButton, reason, _("Copy the version into a folder, for another computer"))
        try:
            canRollBack = self._logic.canRollBack()
        except MagpieError:
            canRollBack = False
        enable(
            self._ui.backButton,
            "" if canRollBack else _("No other version was in use before"),
            _("Use the previous version again"),
        )
        self._ui.cardLabel.text = self._card(name) if name is not None else ""

    def onUse(self, *_ignored):
        """Use the selected version."""
        # Not QInputDialog.getText: in PythonQt it does not tell Cancel from an empty text.
        dialog = qt.QInputDialog(slicer.util.mainWindow())
        dialog.setWindowTitle(_("Use this version"))
        dialog.setLabelText(_("Reason:"))
        if dialog.exec_():
            reason = dialog.textValue()
            if self._ui.versionsTable.currentRow() == 0:
                self._try(lambda: self._logic.useDefault(reason))
            else:
                self._try(lambda: self._logic.promote(self._selected(), reason))

    def onVerify(self, *_ignored):
        """Verify the checksums of the selected version."""
        from magpie_core.models.registry import find_model
        from magpie_core.storage.manifest import verify_manifest

        name = self._selected()
        if self._try(lambda: verify_manifest(find_model(name), ("model.yaml", "weights.safetensors", "card.md"))):
            self._ui.cardLabel.text = _("{name} is complete and unchanged.").format(name=name)

    def onExport(self, *_ignored):
        """Copy the selected version into a folder."""
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder for the copy"))
        if folder:
            self.exportTo(folder)

    def exportTo(self, folder):
        """Copy the selected version into a folder."""
        import shutil
        from pathlib import Path

        from magpie_core.models.registry import find_model

        name = self._selected()
        target = Path(folder) / name
        try:
            shutil.copytree(find_model(name), target)
        except OSError as error:
            slicer.util.errorDisplay(
                _("The version could not be copied: {error}").format(error=error), windowTitle="MAGPIE"
            )
        else:
            self._ui.cardLabel.text = _("A copy is in {folder}.").format(folder=target)

    def onBack(self, *_ignored):
        """Roll back to the version that was used before."""
        self._try(self._logic.rollBack)

    def _selected(self):
        row = self._ui.versionsTable.currentRow()
        return self._names[row] if 0 <= row < len(self._names) else None

    def _try(self, action):
        try:
            action()
        except MagpieError as error:
            self._showError(error)
            return False
        self.update()
        return True

    @staticmethod
    def _card(name):
        from magpie_core.models.registry import find_model

        try:
            return (find_model(name) / "card.md").read_text(encoding="utf-8")
        except (MagpieError, OSError):
            return ""
