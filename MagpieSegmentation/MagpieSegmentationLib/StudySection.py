"""Section Study: which images belong to the examination."""

import qt
import slicer
from slicer.i18n import tr as _

from magpie_core.errors import MagpieError

from .ModalityAssignment import MODALITIES, ModalityAssignment, modalityWords
from .Signal import Signal


class StudySection:
    """Four selectors, and the ways to fill them.

    Parameters
    ----------
    ui
        Widgets by name.
    loader
        StudyLoader.
    tell
        Function that shows a MagpieError.
    prepare
        Function that installs what is missing, with consent.

    Attributes
    ----------
    changed
        Signal(): another choice of volumes.
    """

    def __init__(self, ui, loader, tell, prepare):
        self.changed = Signal()
        self._ui = ui
        self._loader = loader
        self._tell = tell
        self._prepare = prepare
        self._busy = False
        self._notes = []
        self._selectors = {
            "T1": ui.t1Selector,
            "T1CE": ui.t1ceSelector,
            "T2": ui.t2Selector,
            "FLAIR": ui.flairSelector,
        }
        for selector in self._selectors.values():
            selector.connect("currentNodeChanged(vtkMRMLNode*)", lambda *_ignored: self.changed.emit())
        ui.assignButton.connect("clicked(bool)", self.onAssign)
        ui.folderButton.connect("clicked(bool)", self.onFolder)
        ui.dicomButton.connect("clicked(bool)", self.onDicom)
        ui.sampleButton.connect("clicked(bool)", self.onSample)
        loader.making.progressChanged.connect(lambda fraction, stage: self._say(stage))
        loader.making.finished.connect(self._onSampleMade)
        loader.making.warned.connect(self._notes.append)
        loader.making.failed.connect(self._onSampleFailed)

    def volumes(self):
        """The chosen volume nodes by modality."""
        chosen = {modality: selector.currentNode() for modality, selector in self._selectors.items()}
        return {modality: node for modality, node in chosen.items() if node is not None}

    def problem(self):
        """What is in the way of a segmentation, in words; empty if nothing is."""
        volumes = self.volumes()
        if not volumes:
            return _("Choose the images of one examination.")
        for node, modalities in ModalityAssignment.chosenTwice(volumes):
            return _("{name} is chosen as {modalities}.").format(
                name=node.GetName(), modalities=ModalityAssignment.spoken(modalities)
            )
        return ""

    def update(self, busy):
        """Enable what can be done now, and say what the choice means."""
        self._busy = busy
        making = self._loader.making.isRunning
        reason = _("Wait until the segmentation has ended") if busy else ""
        for widget, help_ in (
            (self._ui.assignButton, _("Choose volumes of the scene by their names")),
            (self._ui.folderButton, _("Load NIfTI or DICOM files of one examination")),
            (self._ui.dicomButton, _("Choose a patient from Slicer's DICOM database")),
            (self._ui.sampleButton, _("Make a synthetic study: no patient, nothing is downloaded")),
        ):
            widget.enabled = not busy and not making
            widget.toolTip = reason or (_("Images are being read or made") if making else help_)
        for selector in self._selectors.values():
            selector.enabled = not busy
        if not making:
            self._say("\n".join(filter(None, [self.problem() or self._remark(), *self._notes])))

    def onAssign(self, *_ignored):
        """Choose volumes by their names, for the modalities that have none."""
        free = [
            node
            for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
            if node.GetClassName() == "vtkMRMLScalarVolumeNode" and not node.GetHideFromEditors()
        ]
        taken = {node.GetID() for node in self.volumes().values()}
        assignment = ModalityAssignment.byName([node for node in free if node.GetID() not in taken])
        self._choose(
            {
                modality: node
                for modality, node in assignment.volumes.items()
                if self._selectors[modality].currentNode() is None
            }
        )

    def onFolder(self, *_ignored):
        """Load a folder of NIfTI or DICOM files."""
        folder = qt.QFileDialog.getExistingDirectory(None, _("Folder with the images of one examination"))
        if folder:
            self.loadFolder(folder)

    def loadFolder(self, folder):
        """Load a folder and choose what it holds."""
        self._notes.clear()
        try:
            self._prepare()
            nodes = self._loader.loadFolder(folder)
        except MagpieError as error:
            self._tell(error)
        else:
            if nodes:
                self._replace(nodes)
            else:
                self._say(_("Reading the DICOM files"))
                self.changed.emit()

    def exchange(self, likely):
        """Choose each volume as what it looks like: given modality -> seen modality."""
        volumes = self.volumes()
        seen = {likely.get(given, given): node for given, node in volumes.items()}
        for selector in self._selectors.values():
            selector.setCurrentNode(None)
        self._choose(seen)

    def onDicom(self, *_ignored):
        """Go to Slicer's DICOM browser; what is loaded there is chosen when one comes back."""
        slicer.util.selectModule("DICOM")

    def onSample(self, *_ignored):
        """Make a synthetic study."""
        try:
            self._prepare()
        except MagpieError as error:
            self._tell(error)
            return
        self._loader.makeSample()
        self._say(_("Making a synthetic study"))
        self.changed.emit()

    def _onSampleMade(self, message):
        try:
            self._replace(self._loader.loadMade(message))
        except MagpieError as error:
            self._tell(error)

    def _onSampleFailed(self, error):
        self._notes.clear()
        self.changed.emit()
        self._tell(error)

    def _replace(self, nodes):
        for selector in self._selectors.values():
            selector.setCurrentNode(None)
        self._choose(nodes)
        reference = nodes.get("T1CE") or next(iter(nodes.values()))
        slicer.util.setSliceViewerLayers(background=reference, fit=True)

    def _choose(self, nodes):
        for modality, node in nodes.items():
            self._selectors[modality].setCurrentNode(node)
        self.changed.emit()

    def _remark(self):
        """What the choice means for the result."""
        missing = [modality for modality in MODALITIES if modality not in self.volumes()]
        remarks = []
        if "T1CE" in missing:
            missing.remove("T1CE")
            remarks.append(
                _(
                    "Without T1 with contrast no enhancing tumor is outlined: what looks like it is counted as core."
                )
            )
        if missing:
            names = _(" and ").join(modalityWords()[modality] for modality in missing)
            remarks.append(_("Without {names} the result is less reliable.").format(names=names))
        return "\n".join(remarks)

    def _say(self, text):
        self._ui.studyLabel.text = text
