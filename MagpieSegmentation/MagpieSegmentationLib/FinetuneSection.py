"""Section Teach: corrected cases, and the model that learns from them."""

import qt
import slicer
from slicer.i18n import tr as _

from magpie_core.errors import Cancelled, MagpieError

from .CohortFolder import CohortFolder
from .FinetuningLogic import ENOUGH_CASES, LEAST_CASES
from .Signal import Signal


class FinetuneSection:
    """Cohort, what to annotate next, teaching in the background, comparison, promotion and the way back.

    Parameters
    ----------
    ui
        Widgets by name.
    logic
        FinetuningLogic.
    tell
        Function that shows a MagpieError.
    prepare
        Function that installs what is missing, with consent.

    Attributes
    ----------
    started
        Signal(): a job is under way.
    studyChosen
        Signal(folder): the user wants to look at one of the ranked studies.
    """

    def __init__(self, ui, logic, tell, prepare):
        self.started = Signal()
        self.studyChosen = Signal()
        self._ui = ui
        self._logic = logic
        self._tell = tell
        self._prepare = prepare
        self._volumes = dict
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
        ui.teachButton.connect("clicked(bool)", self.onTeach)
        ui.teachCancelButton.connect("clicked(bool)", self.onCancel)
        ui.promoteButton.connect("clicked(bool)", self.onPromote)
        ui.keepButton.connect("clicked(bool)", self.onKeep)
        ui.reasonEdit.connect("textChanged(QString)", self.update)
        ui.rollBackButton.connect("clicked(bool)", self.onRollBack)
        logic.adding.finished.connect(self._onAdded)
        logic.ranking.progressChanged.connect(lambda fraction, stage: self._say(stage))
        logic.ranking.finished.connect(self._onRankedAll)
        logic.teaching.progressChanged.connect(self._showProgress)
        logic.teaching.finished.connect(self._onTaught)
        for task in (logic.adding, logic.ranking, logic.teaching):
            task.failed.connect(self._onFailed)
        self._showCandidate(None, False, [])

    def of(self, volumes):
        """Where the chosen volumes come from: a function without arguments."""
        self._volumes = volumes

    def show(self, result):
        """The SegmentationResult that can be added; None for none."""
        self._result = result
        self.update()

    def enter(self):
        """The module is opened: the other one may have chosen another folder."""
        self._cohortFolder.refresh()

    def update(self, *_ignored):
        """Enable what can be done now, and say why the rest cannot."""
        ui, logic = self._ui, self._logic
        cases = self._cases()
        ui.casesLabel.text = (
            _("{n} of about {enough} cases").format(n=len(cases), enough=ENOUGH_CASES)
            if cases is not None
            else _("This folder does not hold MAGPIE's cases.")
        )
        ui.casesBar.value = min(100, round(100 * len(cases or []) / ENOUGH_CASES))
        self._enable(ui.addButton, self._whyNotAdd(), _("Keep this examination with your correction"))
        self._enable(
            ui.rankButton,
            _("Wait for the list") if logic.ranking.isRunning else "",
            _("Find the studies in a folder that would teach the model most"),
        )
        self._enable(
            ui.teachButton,
            self._whyNotTeach(cases),
            _("Teach the model your cases, in the background; you can go on working"),
        )
        self._enable(
            ui.teachCancelButton,
            "" if logic.teaching.isRunning else _("Nothing is being taught"),
            _("Stop; what was learned is kept, and teaching the same cases goes on from there next time"),
        )
        reason = ui.reasonEdit.text.strip()
        refused = self._candidate is not None and not self._accepted
        self._enable(
            ui.promoteButton,
            _("There is no new version")
            if self._candidate is None
            else (
                _("It is not surely better: give a reason to use it nevertheless")
                if refused and not reason
                else ""
            ),
            _("Segment with the new version from now on"),
        )
        self._enable(
            ui.keepButton,
            _("There is no new version") if self._candidate is None else "",
            _("Stay with the present version; the new one is kept"),
        )
        ui.reasonEdit.visible = refused
        self._showVersions()

    def onAdd(self, *_ignored):
        """Add the corrected examination to the cohort."""
        with slicer.util.tryWithErrorDisplay(_("The case could not be added.")):
            try:
                self._prepare()
                self._logic.add(
                    self._ui.cohortPath.currentPath, self._volumes(), self._result, self._ui.patientEdit.text
                )
            except MagpieError as error:
                self._tell(error)
            else:
                self._say(_("Adding the case"))
                self._begin()

    def onRank(self, *_ignored):
        """Rank the studies of a folder."""
        folder = qt.QFileDialog.getExistingDirectory(None, _("Folder with one subfolder for each study"))
        if folder:
            self.rank(folder)

    def rank(self, folder):
        """Rank the studies of a folder."""
        try:
            self._prepare()
            self._logic.rank(folder)
        except MagpieError as error:
            self._tell(error)
        else:
            self._begin()

    def onRanked(self, row, *_ignored):
        """Load the study of a row."""
        if 0 <= row < len(self._ranked):
            self.studyChosen.emit(self._ranked[row]["folder"])

    def onTeach(self, *_ignored):
        """Teach the model in the background."""
        try:
            self._prepare()
            self._logic.teach(self._ui.cohortPath.currentPath, self._ui.minutesBox.value)
        except MagpieError as error:
            self._tell(error)
        else:
            self._ui.teachBar.value = 0
            self._say(_("Starting"))
            self._begin()

    def onCancel(self, *_ignored):
        """Stop teaching."""
        self._say(_("Stopping"))
        self._logic.teaching.cancel()

    def onPromote(self, *_ignored):
        """Use the new version."""
        name = self._candidate
        try:
            self._logic.promote(name, self._ui.reasonEdit.text.strip() or self._ui.verdictLabel.text)
        except MagpieError as error:
            self._tell(error)
        else:
            self._showCandidate(None, False, [])
            self._say(_("{name} is in use.").format(name=name))

    def onKeep(self, *_ignored):
        """Stay with the present version."""
        self._showCandidate(None, False, [])
        self._say(_("The present version stays in use."))

    def onRollBack(self, *_ignored):
        """Go back to what was used before."""
        try:
            name = self._logic.rollBack()
        except MagpieError as error:
            self._tell(error)
        else:
            self.update()
            self._say(_("{name} is in use again.").format(name=name))

    def _cases(self):
        """The cases of the cohort; None if the folder holds something else."""
        folder = self._ui.cohortPath.currentPath
        if not folder:
            return []
        try:
            return self._logic.cases(folder)
        except (MagpieError, ImportError):
            return None

    def _whyNotAdd(self):
        if self._logic.adding.isRunning:
            return _("A case is being added")
        if self._result is None:
            return _("Nothing is segmented yet")
        if not self._result.reviewed:
            return _("Tick Reviewed first, in the section Correct")
        if not self._ui.cohortPath.currentPath:
            return _("Choose a folder for the cases")
        if not self._ui.patientEdit.text.strip():
            return _("Name the patient; only a hash of the name is kept")
        return ""

    def _whyNotTeach(self, cases):
        if self._logic.teaching.isRunning:
            return _("The model is being taught")
        if not cases or len(cases) < LEAST_CASES:
            return _("At least {n} corrected cases are needed; about {enough} are worth the wait").format(
                n=LEAST_CASES, enough=ENOUGH_CASES
            )
        if len({case.patient for case in cases}) < 2:
            return _("All cases are of one patient; others are needed to judge by")
        return ""

    @staticmethod
    def _enable(widget, reason, help_):
        widget.enabled = not reason
        widget.toolTip = reason or help_

    def _begin(self):
        self.update()
        self.started.emit()

    def _say(self, text):
        self._ui.teachLabel.text = text

    def _showProgress(self, fraction, stage):
        self._ui.teachBar.value = round(100 * fraction)
        self._say(stage)

    def _showVersions(self):
        try:
            rows = self._logic.versions()
            canGoBack = self._logic.canRollBack()
        except (MagpieError, ImportError):
            rows, canGoBack = [], False
        used = next((name for name, active, _verdict in rows if active), "")
        self._ui.versionLabel.text = _("In use: {name}").format(name=used) if used else ""
        self._enable(
            self._ui.rollBackButton,
            "" if canGoBack else _("The model that came with MAGPIE is in use"),
            _("Use again the version before"),
        )

    def _showCandidate(self, name, accepted, sentences):
        self._candidate, self._accepted = name, accepted
        self._ui.reasonEdit.text = ""
        self._ui.verdictLabel.text = "\n".join(sentences)
        self.update()

    def _onAdded(self, message):
        self._ui.patientEdit.text = ""
        edited = message.get("edited")
        text = _("The case was added.")
        if edited is not None:
            text += " " + _("{percent} % of the tumor was changed.").format(percent=f"{100 * edited:.0f}")
        self.update()
        self._say(text)

    def _onRankedAll(self, message):
        self._ranked = message["studies"]
        table = self._ui.rankTable
        table.setRowCount(len(self._ranked))
        words = {"uncertain": _("the model is unsure"), "random": _("drawn by chance")}
        for row, study in enumerate(self._ranked):
            table.setItem(row, 0, qt.QTableWidgetItem(study["folder"]))
            table.setItem(row, 1, qt.QTableWidgetItem(words[study["why"]]))
        self.update()
        self._say(_("{n} studies are ranked; double-click one to load it.").format(n=len(self._ranked)))

    def _onTaught(self, message):
        self._ui.teachBar.value = 100
        self._showCandidate(message["version"], message["accepted"], message["sentences"])
        self._say(_("A new version is ready: {name}").format(name=message["version"]))

    def _onFailed(self, error):
        self.update()
        if isinstance(error, Cancelled):
            self._say(_("Stopped. Teaching the same cases goes on from here next time."))
            return
        self._say(_("Not done"))
        self._tell(error)
