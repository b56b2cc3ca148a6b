"""Section Models: versions, their cards, and the way back."""

import qt
import slicer
from slicer.i18n import tr as _

from magpie_core.errors import MagpieError


class VersionsView:
    """A table of the versions of this site.

    Parameters
    ----------
    ui
        Widgets by name.
    logic
        FinetuningLogic.
    tell
        Function that shows a MagpieError.
    """

    def __init__(self, ui, logic, tell):
        self._ui = ui
        self._logic = logic
        self._tell = tell
        self._names = []
        ui.versionsTable.connect("itemSelectionChanged()", self.onSelect)
        ui.useButton.connect("clicked(bool)", self.onUse)
        ui.verifyButton.connect("clicked(bool)", self.onVerify)
        ui.exportButton.connect("clicked(bool)", self.onExport)
        ui.backButton.connect("clicked(bool)", self.onBack)
        self.update()

    def update(self):
        """List the versions."""
        rows, trouble = [], ""
        try:
            rows = self._logic.versions()
        except MagpieError as error:
            trouble = str(error)
        self._names = [name for name, _used, _verdict in rows]
        table = self._ui.versionsTable
        table.setRowCount(len(rows))
        for row, (name, used, verdict) in enumerate(rows):
            for column, text in enumerate((name, _("in use") if used else "", verdict[0] if verdict else "")):
                table.setItem(row, column, qt.QTableWidgetItem(text))
        self.onSelect()
        if trouble:
            self._ui.cardLabel.text = trouble

    def onSelect(self, *_ignored):
        """Show the card of the chosen version."""
        name = self._chosen()
        nothing = _("Choose a version in the table")
        for widget, help_ in (
            (self._ui.useButton, _("Segment with this version from now on")),
            (self._ui.verifyButton, _("Check every file of it")),
            (self._ui.exportButton, _("Copy it into a folder, for another computer")),
        ):
            widget.enabled = name is not None
            widget.toolTip = help_ if name is not None else nothing
        if name == self._names[:1][0] if self._names else False:
            self._ui.useButton.enabled = False
            self._ui.useButton.toolTip = _("The model that came with MAGPIE is used again by going back")
        try:
            can = self._logic.canRollBack()
        except MagpieError:
            can = False
        self._ui.backButton.enabled = can
        self._ui.backButton.toolTip = (
            _("Use again the version before") if can else _("The model that came with MAGPIE is in use")
        )
        self._ui.cardLabel.text = self._card(name) if name is not None else ""

    def onUse(self, *_ignored):
        """Use the chosen version."""
        reason = qt.QInputDialog.getText(None, _("Use a version"), _("Why?"))
        # PythonQt gives the text alone, other bindings also whether the user agreed.
        text, agreed = reason if isinstance(reason, tuple) else (reason, bool(reason))
        if agreed:
            self._try(lambda: self._logic.promote(self._chosen(), text))

    def onVerify(self, *_ignored):
        """Check the chosen version."""
        from magpie_core.models.registry import find_model
        from magpie_core.storage.manifest import verify_manifest

        name = self._chosen()
        if self._try(
            lambda: verify_manifest(find_model(name), ("model.yaml", "weights.safetensors", "card.md"))
        ):
            self._ui.cardLabel.text = _("{name} is complete and unchanged.").format(name=name)

    def onExport(self, *_ignored):
        """Copy the chosen version into a folder."""
        folder = qt.QFileDialog.getExistingDirectory(None, _("Folder for the copy"))
        if folder:
            self.exportTo(folder)

    def exportTo(self, folder):
        """Copy the chosen version into a folder."""
        import shutil
        from pathlib import Path

        from magpie_core.models.registry import find_model

        name = self._chosen()
        target = Path(folder) / name
        try:
            shutil.copytree(find_model(name), target)
        except OSError as error:
            slicer.util.errorDisplay(
                _("It could not be copied: {error}").format(error=error), windowTitle="MAGPIE"
            )
        else:
            self._ui.cardLabel.text = _("A copy is in {folder}.").format(folder=target)

    def onBack(self, *_ignored):
        """Go back to what was used before."""
        self._try(self._logic.rollBack)

    def _chosen(self):
        row = self._ui.versionsTable.currentRow()
        return self._names[row] if 0 <= row < len(self._names) else None

    def _try(self, action):
        try:
            action()
        except MagpieError as error:
            self._tell(error)
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
