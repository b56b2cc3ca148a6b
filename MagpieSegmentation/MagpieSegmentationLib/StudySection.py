"""Section Study: the images of one examination."""

import qt
import slicer
from slicer.i18n import tr as _

from magpie_core.errors import MagpieError
from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES, Modality

from .ImagesFoundDialog import showImagesFound
from .ModalityAssignment import ModalityAssignment
from .Signal import Signal
from .Views import showStudy
from .WidgetState import enable


class StudySection:
    """Four selectors, and several ways to fill them.

    Parameters
    ----------
    ui
        Widgets by name.
    loader
        StudyLoader.
    showError
        Function that shows a MagpieError.
    ensurePackages
        Function that installs missing packages, with consent.

    Attributes
    ----------
    changed
        Signal(): the selection of volumes changed.
    """

    def __init__(self, ui, loader, showError, ensurePackages):
        self.changed = Signal()
        self._ui = ui
        self._loader = loader
        self._showError = showError
        self._ensurePackages = ensurePackages
        self._warnings = []
        self._known = set()  # identifiers of the volumes that were offered for assignment
        selectors = (ui.t1Selector, ui.t1ceSelector, ui.t2Selector, ui.flairSelector)
        self._selectors = dict(zip(GLIOMA_MODALITY_NAMES, selectors, strict=True))
        for selector in self._selectors.values():
            selector.connect("currentNodeChanged(vtkMRMLNode*)", lambda *_ignored: self.changed.emit())
        ui.assignButton.connect("clicked(bool)", self.onAssign)
        ui.folderButton.connect("clicked(bool)", self.onFolder)
        ui.dicomButton.connect("clicked(bool)", self.onDicom)
        ui.sampleButton.connect("clicked(bool)", self.onSample)
        ui.foundButton.connect("clicked(bool)", self.onFound)
        loader.loading.progressChanged.connect(lambda fraction, stage: self._showStatus(stage))
        loader.loading.finished.connect(self._onLoaded)
        loader.loading.warned.connect(self._warnings.append)
        loader.loading.failed.connect(self._onLoadFailed)

    def volumes(self):
        """Return the selected volume nodes by modality."""
        chosen = {modality: selector.currentNode() for modality, selector in self._selectors.items()}
        return {modality: node for modality, node in chosen.items() if node is not None}

    @property
    def found(self):
        """What became of each image of the folder that was loaded last (`StudyLoader.found`)."""
        return self._loader.found

    def problem(self):
        """Return why these volumes cannot be segmented; empty if they can."""
        volumes = self.volumes()
        if not volumes:
            return _("Choose the images of one examination.")
        for node, modalities in ModalityAssignment.chosenTwice(volumes):
            return _("{name} is selected as {modalities}.").format(
                name=node.GetName(), modalities=ModalityAssignment.namesOf(modalities)
            )
        return ""

    def update(self, busy):
        """Enable what is possible now, and explain the selection; `busy` while a segmentation is running."""
        loading = self._loader.loading.isRunning
        reason = (
            _("Wait until the segmentation has ended") if busy else (_("Images are being loaded") if loading else "")
        )
        for widget, help_ in (
            (self._ui.assignButton, _("Assign volumes of the scene by their names or DICOM descriptions")),
            (self._ui.folderButton, _("Load NIfTI or DICOM files of one examination")),
            (self._ui.dicomButton, _("Choose a patient from Slicer's DICOM database")),
            (self._ui.sampleButton, _("Make a synthetic study: no patient data, no download")),
        ):
            enable(widget, reason, help_)
        for selector in self._selectors.values():
            selector.enabled = not busy
        self._ui.foundButton.visible = bool(self.found)
        if not loading:
            self._showStatus("\n".join(filter(None, [self.problem() or self._missingModalities(), *self._warnings])))

    def enter(self):
        """Assign the volumes that were loaded in other modules."""
        if any(node.GetID() not in self._known for node in self._candidates()):
            self.onAssign()

    def clear(self):
        """Let go of the volumes of a scene that is closed; what is being loaded for it is not wanted any more."""
        if self._loader.loading.isRunning:
            self._loader.cancel()
        self._loader.found = []
        self._warnings.clear()
        self._known.clear()

    def onAssign(self, *_ignored):
        """Assign volumes by name to the modalities that have none."""
        free = self._candidates()
        self._known = {node.GetID() for node in free}
        taken = {node.GetID() for node in self.volumes().values()}
        assignment = ModalityAssignment.byName([node for node in free if node.GetID() not in taken])
        self._select(
            {
                modality: node
                for modality, node in assignment.volumes.items()
                if self._selectors[modality].currentNode() is None
            }
        )

    def onFolder(self, *_ignored):
        """Load a folder of NIfTI or DICOM files that the user selects."""
        folder = qt.QFileDialog.getExistingDirectory(
            slicer.util.mainWindow(), _("Folder with the images of one examination")
        )
        if folder:
            self.loadFolder(folder)

    def loadFolder(self, folder):
        """Load a folder and select its volumes."""
        self._warnings.clear()
        try:
            self._ensurePackages()
            nodes = self._loader.loadFolder(folder)
        except MagpieError as error:
            self._showError(error)
        else:
            if nodes:
                self._replace(nodes)
            else:
                self._showStatus(_("Reading the DICOM files"))
                self.changed.emit()

    def swapModalities(self, suspected):
        """Select each volume as the modality that it resembles: selected modality -> suspected modality."""
        volumes = {suspected.get(modality, modality): node for modality, node in self.volumes().items()}
        for selector in self._selectors.values():
            selector.setCurrentNode(None)
        self._select(volumes)

    def onDicom(self, *_ignored):
        """Enter Slicer's DICOM module; volumes loaded there are assigned when the user returns."""
        slicer.util.selectModule("DICOM")

    def onSample(self, *_ignored):
        """Make a synthetic study."""
        try:
            self._ensurePackages()
        except MagpieError as error:
            self._showError(error)
            return
        self._loader.makeSample()
        self._showStatus(_("Making a synthetic study"))
        self.changed.emit()

    def onFound(self, *_ignored):
        """Show what became of each image of the folder."""
        showImagesFound(self.found, self._ui.foundButton.window())

    def _onLoaded(self, message):
        self._showStatus(_("Loading the images"))
        self._ui.studyLabel.repaint()
        try:
            self._replace(self._loader.loadResult(message))
        except MagpieError as error:
            self._showError(error)

    def _onLoadFailed(self, error):
        self._warnings.clear()
        self.changed.emit()
        self._showError(error)

    def _replace(self, nodes):
        for selector in self._selectors.values():
            selector.setCurrentNode(None)
        self._select(nodes)
        self._known = {node.GetID() for node in self._candidates()}
        showStudy(nodes.get("T1CE") or next(iter(nodes.values())))

    @staticmethod
    def _candidates():
        return [
            node
            for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
            if node.GetClassName() == "vtkMRMLScalarVolumeNode" and not node.GetHideFromEditors()
        ]

    def _select(self, nodes):
        for modality, node in nodes.items():
            self._selectors[modality].setCurrentNode(node)
        self.changed.emit()

    def _missingModalities(self):
        """Return what missing modalities mean for the result."""
        missing = [modality for modality in GLIOMA_MODALITY_NAMES if modality not in self.volumes()]
        remarks = []
        if "T1CE" in missing:
            missing.remove("T1CE")
            remarks.append(
                _("Without {name} no enhancing tumor is segmented; it is counted as core.").format(
                    name=Modality.T1CE.label
                )
            )
        if missing:
            names = _(" and ").join(Modality(modality).label for modality in missing)
            remarks.append(_("Without {names} the result is less reliable.").format(names=names))
        return "\n".join(remarks)

    def _showStatus(self, text):
        self._ui.studyLabel.text = text
