"""Section Correct: Slicer's Segment Editor on the result, and the review."""

import datetime

import slicer
from slicer.i18n import tr as _

from magpie_core.errors import MagpieError

from .DevelopmentToolbox import DevelopmentToolbox
from .FinetuningLogic import FinetuningLogic
from .Formatting import percentText
from .ReviewCheck import ReviewCheck
from .SegmentationExporter import SegmentationExporter
from .Signal import Signal
from .Views import jumpTo
from .WidgetState import enable

_EDITOR_NODE = "MagpieSegmentEditor"
_UNDO_STEPS = 10


class CorrectSection:
    """The editor, the changed fraction of the tumor, the rating of the proposal, and the review.

    Parameters
    ----------
    ui
        Widgets by name.
    showError
        Function that shows a MagpieError.

    Attributes
    ----------
    reviewedChanged
        Signal().
    toolbox
        DevelopmentToolbox.
    """

    def __init__(self, ui, showError):
        self.reviewedChanged = Signal()
        self.toolbox = DevelopmentToolbox()
        self._ui = ui
        self._showError = showError
        self._result = None
        self._exporter = SegmentationExporter()
        ui.segmentEditor.setMaximumNumberOfUndoStates(_UNDO_STEPS)
        self._effects = slicer.qSlicerSegmentEditorEffectFactory.instance()
        self._effects.connect("effectRegistered(QString)", self.onEffectRegistered)
        ui.reviewedBox.connect("clicked(bool)", self.onReviewed)
        for button in self.toolbox.viewButtons():
            ui.viewButtons.layout().addWidget(button)
        ui.changesButton.connect("clicked(bool)", self.onChanges)
        ui.ratingButton.connect("clicked(bool)", self.onRate)

    def show(self, result):
        """Edit the segmentation of a SegmentationResult; None for none."""
        ui = self._ui
        self._result = result
        ui.changesLabel.text = ""
        ui.reviewedBox.checked = result is not None and bool(result.reviewed)
        reason = _("Segment a study first") if result is None else ""
        enable(ui.reviewedBox, reason, _("You have checked every slice, and the segmentation is correct"))
        enable(ui.changesButton, reason, _("Compare the segmentation with the proposal of the model"))
        enable(ui.ratingButton, reason, _("Rate the proposal of the model; the rating is saved with the scene"))
        ui.segmentEditor.enabled = result is not None
        if result is None:
            ui.segmentEditor.setSegmentationNode(None)
            return
        ui.segmentEditor.setMRMLSegmentEditorNode(self._editorNode())
        ui.segmentEditor.setSegmentationNode(result.segmentationNode)
        ui.segmentEditor.setSourceVolumeNode(result.referenceNode)

    def enter(self):
        """Install the keyboard shortcuts of the editor."""
        self._ui.segmentEditor.installKeyboardShortcuts()

    def exit(self):
        """Deactivate the effect, the shortcuts and the view observers of the editor."""
        self._ui.segmentEditor.setActiveEffect(None)
        self._ui.segmentEditor.uninstallKeyboardShortcuts()
        self._ui.segmentEditor.removeViewObservations()

    def close(self):
        """Let go of Slicer's list of effects."""
        self._effects.disconnect("effectRegistered(QString)", self.onEffectRegistered)

    def onEffectRegistered(self, *_ignored):
        """Offer an effect that was registered after the editor was made."""
        self._ui.segmentEditor.updateEffectList()

    def onReviewed(self, *_ignored):
        """Record the reviewer and the time, after a question if something may have been overlooked."""
        if self._ui.reviewedBox.checked and not self._confirmReview():
            self._ui.reviewedBox.checked = False
            return
        text = ""
        if self._ui.reviewedBox.checked:
            text = f"{FinetuningLogic.userName()} {datetime.datetime.now().isoformat(timespec='minutes')}"
            self.onChanges()
        self._result.setReviewed(text)
        self.reviewedChanged.emit()

    def _confirmReview(self):
        try:
            check = ReviewCheck(self._result)
        except MagpieError as error:
            self._showError(error)
            return False
        if check.place is not None:
            jumpTo(check.place)
        question = _("{remarks}\n\nIs the segmentation correct?").format(remarks="\n".join(check.remarks))
        return not check.remarks or slicer.util.confirmYesNoDisplay(question, windowTitle="MAGPIE")

    def onRate(self, *_ignored):
        """Ask for a rating of the proposal and store it with the segmentation."""
        rating = self.toolbox.askRating() if self._result is not None else None
        if rating is not None:
            self._result.setRating(rating)
            self._ui.changesLabel.text = _("The proposal is rated {n} of 5.").format(n=rating)

    def onChanges(self, *_ignored):
        """Show the changed fraction of the tumor since the proposal of the model."""
        result = self._result
        if result is None or result.proposalNode is None or result.referenceNode is None:
            self._ui.changesLabel.text = _("The proposal of the model is not in the scene.")
            return
        try:
            fraction = self._exporter.changedFraction(
                result.proposalNode, result.segmentationNode, result.referenceNode
            )
        except MagpieError as error:
            self._showError(error)
            return
        result.hideProposal()
        self._ui.changesLabel.text = _("{percent} % of the tumor was changed.").format(percent=percentText(fraction))

    @staticmethod
    def _editorNode():
        node = slicer.mrmlScene.GetSingletonNode(_EDITOR_NODE, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = slicer.vtkMRMLSegmentEditorNode()
            node.SetSingletonTag(_EDITOR_NODE)
            node = slicer.mrmlScene.AddNode(node)
        return node
