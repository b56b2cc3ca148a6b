"""Section Fine-tune: corrected cases, fine-tuning on them, and model versions."""

from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from magpie_core.errors import Cancelled, MagpieError

from .CohortFolder import CohortFolder
from .FinetuningLogic import MINIMUM_CASES, RECOMMENDED_CASES
from .Formatting import percentText
from .Signal import Signal
from .Tables import fitToContent
from .WidgetState import enable, showText


class FinetuneSection:
    """Cohort, ranking of studies, fine-tuning in the background, acceptance and rollback of versions.

    Parameters
    ----------
    ui
        Widgets by name.
    logic
        FinetuningLogic.
    showError
        Function that shows a MagpieError.
    ensurePackages
        Function that installs missing packages, with consent.

    Attributes
    ----------
    started
        Signal(): a job was started.
    studyChosen
        Signal(folder): the user wants to load one of the ranked studies.
    """

    def __init__(self, ui, logic, showError, ensurePackages):
        self.started = Signal()
        self.studyChosen = Signal()
        self._ui = ui
        self._logic = logic
        self._warnings = []
        self._showError = showError
        self._ensurePackages = ensurePackages
        self._result = None
        self._candidate = None
        self._accepted = False
        self._ranked = []
        self._cohortFolder = CohortFolder(ui.cohortPath)
        ui.cohortPath.connect("currentPathChanged(QString)", self.update)
        ui.patientEdit.connect("textChanged(QString)", self.update)
        ui.addButton.connect("clicked(bool)", self.onAdd)
        ui.rankButton.connect("clicked(bool)", self.onRank)
        ui.rankTable.connect("cellDoubleClicked(int,int)", self.onRanked)
        ui.finetuneButton.connect("clicked(bool)", self.onFinetune)
        ui.cancelFinetuneButton.connect("clicked(bool)", self.onCancel)
        ui.promoteButton.connect("clicked(bool)", self.onPromote)
        ui.keepButton.connect("clicked(bool)", self.onKeep)
        ui.reasonEdit.connect("textChanged(QString)", self.update)
        ui.rollBackButton.connect("clicked(bool)", self.onRollBack)
        fitToContent(ui.rankTable)
        ui.rankTable.visible = False
        logic.adding.finished.connect(self._onAdded)
        logic.adding.failed.connect(self._onAddFailed)
        logic.adding.warned.connect(lambda text: self._warnings.append(text))
        logic.ranking.progressChanged.connect(lambda fraction, stage: self._showStatus(stage))
        logic.ranking.finished.connect(self._onRankedAll)
        logic.finetuning.progressChanged.connect(self._showProgress)
        logic.finetuning.finished.connect(self._onFinetuned)
        for task in (logic.ranking, logic.finetuning):
            task.failed.connect(self._onFailed)
        self._showCandidate(None, False, [])

    def show(self, result):
        """Show the state for a SegmentationResult that can be added; None for none."""
        self._result = result
        self.update()

    def enter(self):
        """Read the cohort folder again: the Training module may have changed it."""
        self._cohortFolder.refresh()

    def update(self, *_ignored):
        """Enable what is possible now; the tooltip of a disabled widget gives the reason."""
        ui, logic = self._ui, self._logic
        cases, problem = self._cases()
        ui.casesLabel.text = problem or _("{n} of about {enough} cases").format(n=len(cases), enough=RECOMMENDED_CASES)
        ui.casesBar.value = min(100, round(100 * len(cases) / RECOMMENDED_CASES))
        enable(ui.addButton, self._whyNotAdd(), _("Add this study with your correction to the cohort"))
        enable(
            ui.rankButton,
            _("Ranking is running") if logic.ranking.isRunning else "",
            _("Rank the studies in a folder by the uncertainty of the model"),
        )
        enable(
            ui.finetuneButton,
            self._whyNotFinetune(cases),
            _("Fine-tune the model on your cases in the background; you can continue to work"),
        )
        enable(
            ui.cancelFinetuneButton,
            "" if logic.finetuning.isRunning else _("No fine-tuning is running"),
            _("Stop; the progress is kept, and fine-tuning on the same cases is resumed next time"),
        )
        noCandidate = _("There is no new version") if self._candidate is None else ""
        rejected = self._candidate is not None and not self._accepted
        needsReason = rejected and not ui.reasonEdit.text.strip()
        enable(
            ui.promoteButton,
            noCandidate or (_("It did not pass the acceptance test: give a reason to use it") if needsReason else ""),
            _("Segment with the new version from now on"),
        )
        enable(ui.keepButton, noCandidate, _("Keep the current version in use; the new one is stored"))
        ui.reasonEdit.visible = rejected
        self._showVersions()

    def onAdd(self, *_ignored):
        """Add the corrected study to the cohort."""
        with slicer.util.tryWithErrorDisplay(_("The case could not be added.")):
            path, patient = self._ui.cohortPath.currentPath, self._ui.patientEdit.text
            self._warnings = []
            self._start(lambda: self._logic.add(path, self._result, patient), _("Adding the case"))

    def onRank(self, *_ignored):
        """Rank the studies of a folder that the user selects."""
        folder = qt.QFileDialog.getExistingDirectory(
            slicer.util.mainWindow(), _("Folder with one subfolder for each study")
        )
        if folder:
            self.rank(folder)

    def rank(self, folder):
        """Rank the studies of a folder that the cohort does not hold already."""
        known = {"cohort": self._ui.cohortPath.currentPath} if self._cases()[0] else {}
        self._start(lambda: self._logic.rank(folder, **known), _("Starting"))

    def onRanked(self, row, *_ignored):
        """Load the study of a row."""
        if 0 <= row < len(self._ranked):
            self.studyChosen.emit(self._ranked[row]["folder"])

    def onFinetune(self, *_ignored):
        """Fine-tune the model in the background."""
        path, minutes = self._ui.cohortPath.currentPath, self._ui.minutesBox.value
        if self._start(lambda: self._logic.finetune(path, minutes), _("Starting")):
            self._ui.finetuneBar.value = 0

    def onCancel(self, *_ignored):
        """Stop fine-tuning."""
        self._showStatus(_("Stopping"))
        self._logic.finetuning.cancel()

    def onPromote(self, *_ignored):
        """Use the new version."""
        name = self._candidate
        try:
            self._logic.promote(name, self._ui.reasonEdit.text.strip() or self._ui.verdictLabel.text)
        except MagpieError as error:
            self._showError(error)
        else:
            self._showCandidate(None, False, [])
            self._showStatus(_("{name} is in use.").format(name=name))

    def onKeep(self, *_ignored):
        """Keep the current version."""
        self._showCandidate(None, False, [])
        self._showStatus(_("The current version stays in use."))

    def onRollBack(self, *_ignored):
        """Roll back to the version that was used before."""
        try:
            name = self._logic.rollBack()
        except MagpieError as error:
            self._showError(error)
        else:
            self.update()
            self._showStatus(_("{name} is in use again.").format(name=name))

    def _start(self, job, status):
        """Install missing packages and start a job; returns whether it was started."""
        try:
            self._ensurePackages()
            job()
        except MagpieError as error:
            self._showError(error)
            return False
        self._showStatus(status)
        self.update()
        self.started.emit()
        return True

    def _cases(self):
        """Return the cases of the cohort, and why they cannot be listed, if so."""
        folder = self._ui.cohortPath.currentPath
        try:
            return (self._logic.cases(folder) if folder else []), ""
        except MagpieError:
            return [], _("This folder is not a MAGPIE cohort.")
        except ImportError:
            return [], _("The cases are listed once the Python packages are installed.")

    def _whyNotAdd(self):
        if self._logic.adding.isRunning:
            return _("A case is being added")
        if self._result is None:
            return _("Segment a study first")
        if not self._result.reviewed:
            return _("Tick Reviewed first, in the section Correct")
        if not self._ui.cohortPath.currentPath:
            return _("Choose a folder for the cases")
        if not self._ui.patientEdit.text.strip():
            return _("Enter the patient; the cohort holds only a salted hash")
        return ""

    def _whyNotFinetune(self, cases):
        if self._logic.finetuning.isRunning:
            return _("Fine-tuning is running")
        if len(cases) < MINIMUM_CASES:
            return _("At least {n} corrected cases are needed; about {enough} are recommended").format(
                n=MINIMUM_CASES, enough=RECOMMENDED_CASES
            )
        if len({case.patient for case in cases}) < 2:
            return _("All cases are of one patient; cases of others are needed for validation")
        return ""

    def _showStatus(self, text):
        self._ui.finetuneLabel.text = text

    def _showProgress(self, fraction, stage):
        self._ui.finetuneBar.value = round(100 * fraction)
        self._showStatus(stage)

    def _showVersions(self):
        try:
            rows = self._logic.versions()
            canRollBack = self._logic.canRollBack()
        except (MagpieError, ImportError):
            rows, canRollBack = [], False
        active = next((name for name, inUse, _verdict in rows if inUse), "")
        self._ui.versionLabel.text = _("In use: {name}").format(name=active) if active else ""
        enable(
            self._ui.rollBackButton,
            "" if canRollBack else _("No other version was in use before"),
            _("Use the previous version again"),
        )

    def _showCandidate(self, name, accepted, sentences):
        self._candidate, self._accepted = name, accepted
        self._ui.reasonEdit.text = ""
        showText(self._ui.verdictLabel, "\n".join(sentences))
        self.update()

    def _onAdded(self, message):
        self._ui.patientEdit.text = ""
        edited = message.get("edited")
        text = _("The case was added.")
        if edited is not None:
            text += " " + _("{percent} % of the tumor was changed.").format(percent=percentText(edited))
        stored = [
            _("{tissue} {ml} ml").format(tissue=tissue, ml=f"{ml:.2f}") for tissue, ml in message["volumes_ml"].items()
        ]
        text += "\n" + _("Stored: {volumes}.").format(volumes=", ".join(stored))
        self.update()
        self._showStatus("\n".join([text, *self._warnings]))

    def _onAddFailed(self, error):
        questions = getattr(error, "questions", {})
        if not questions:
            self._onFailed(error)
            return
        lines = "\n".join(f"{text}." for text in questions.values())
        question = _("{lines}\n\nIs this correct, and is the case to be added?").format(lines=lines)
        if slicer.util.confirmYesNoDisplay(question, windowTitle="MAGPIE"):
            self._start(lambda: self._logic.confirm(questions), _("Adding the case"))
        else:
            self.update()
            self._showStatus(_("The case was not added. Correct the segmentation, then add it."))

    def _onRankedAll(self, message):
        self._ranked = message["studies"]
        table = self._ui.rankTable
        table.setRowCount(len(self._ranked))
        reasons = {"uncertain": _("high uncertainty"), "random": _("random sample")}
        for row, study in enumerate(self._ranked):
            table.setItem(row, 0, qt.QTableWidgetItem(Path(study["folder"]).name))
            table.item(row, 0).setToolTip(study["folder"])
            table.setItem(row, 1, qt.QTableWidgetItem(reasons[study["why"]]))
        table.visible = bool(self._ranked)
        self.update()
        text = _("{n} studies are ranked; double-click one to load it.").format(n=len(self._ranked))
        self._showStatus("\n".join([text, *message.get("warnings", ())]))

    def _onFinetuned(self, message):
        self._ui.finetuneBar.value = 100
        self._showCandidate(message["version"], message["accepted"], message["sentences"])
        self._showStatus(_("A new version is ready: {name}").format(name=message["version"]))

    def _onFailed(self, error):
        self.update()
        if isinstance(error, Cancelled):
            self._showStatus(_("Stopped. Fine-tuning on the same cases is resumed next time."))
            return
        self._showStatus(_("Failed"))
        self._showError(error)
