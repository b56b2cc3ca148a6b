"""Section Correct: Slicer's Segment Editor on the result, and whether it was looked through."""

import datetime

import slicer
from slicer.i18n import tr as _

from magpie_core.errors import MagpieError

from .DevelopmentToolbox import DevelopmentToolbox
from .FinetuningLogic import FinetuningLogic
from .SegmentationExporter import SegmentationExporter
from .Signal import Signal

_EDITOR_NODE = "MagpieSegmentEditor"
_UNDO_STEPS = 10


class CorrectSection:
    """The editor, how much was changed, and "reviewed".

    Parameters
    ----------
    ui
        Widgets by name.
    tell
        Function that shows a MagpieError.

    Attributes
    ----------
    reviewedChanged
        Signal().
    """

    def __init__(self, ui, tell):
        self.reviewedChanged = Signal()
        self._ui = ui
        self._tell = tell
        self._result = None
        self._exporter = SegmentationExporter()
        self._toolbox = DevelopmentToolbox()
        ui.segmentEditor.setMaximumNumberOfUndoStates(_UNDO_STEPS)
        ui.reviewedBox.connect("toggled(bool)", self.onReviewed)
        for button in self._toolbox.viewButtons():
            ui.viewButtons.layout().addWidget(button)
        ui.changesButton.connect("clicked(bool)", self.onChanges)
        ui.ratingButton.connect("clicked(bool)", self.onRate)

    def show(self, result):
        """Edit the segmentation of a SegmentationResult; None for nothing."""
        self._result = None
        self._ui.changesLabel.text = ""
        self._ui.reviewedBox.checked = result is not None and bool(result.reviewed)
        self._result = result
        ui = self._ui
        for widget in (ui.reviewedBox, ui.changesButton, ui.ratingButton, ui.segmentEditor):
            widget.enabled = result is not None
        nothing = _("Nothing is segmented yet")
        self._ui.reviewedBox.toolTip = (
            nothing if result is None else _("You have looked at it slice by slice and it is right")
        )
        self._ui.changesButton.toolTip = (
            nothing if result is None else _("Compare with what the model proposed")
        )
        self._ui.ratingButton.toolTip = (
            nothing
            if result is None
            else _("Note how good the model's proposal was; it is kept with the scene")
        )
        if result is None:
            self._ui.segmentEditor.setSegmentationNode(None)
            return
        self._ui.segmentEditor.setMRMLSegmentEditorNode(self._editorNode())
        self._ui.segmentEditor.setSegmentationNode(result.segmentationNode)
        self._ui.segmentEditor.setSourceVolumeNode(result.referenceNode)

    def onReviewed(self, *_ignored):
        """Note who looked it through, and when."""
        if self._result is None:
            return
        text = ""
        if self._ui.reviewedBox.checked:
            text = f"{FinetuningLogic.who()} {datetime.datetime.now().isoformat(timespec='minutes')}"
            self.onChanges()
        self._result.setReviewed(text)
        self.reviewedChanged.emit()

    def onRate(self, *_ignored):
        """Ask how good the proposal was, and keep the answer with the segmentation."""
        rating = self._toolbox.askRating() if self._result is not None else None
        if rating is not None:
            self._result.setRating(rating)
            self._ui.changesLabel.text = _("The proposal is rated {n} of 5.").format(n=rating)

    def onChanges(self, *_ignored):
        """Say how much was changed since the model's proposal."""
        result = self._result
        if result is None or result.proposalNode is None or result.referenceNode is None:
            self._ui.changesLabel.text = _("The model's proposal is not in the scene.")
            return
        try:
            share = self._exporter.editShare(
                result.proposalNode, result.segmentationNode, result.referenceNode
            )
        except MagpieError as error:
            self._tell(error)
            return
        self._ui.changesLabel.text = _("{percent} % of the tumor was changed.").format(
            percent=f"{100 * share:.0f}" if share in (0, 1) or share >= 0.01 else "<1"
        )

    @staticmethod
    def _editorNode():
        node = slicer.mrmlScene.GetSingletonNode(_EDITOR_NODE, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = slicer.vtkMRMLSegmentEditorNode()
            node.SetSingletonTag(_EDITOR_NODE)
            node = slicer.mrmlScene.AddNode(node)
        return node
