"""Studies into the scene: from a folder, or synthetic."""

from pathlib import Path

import slicer
from slicer.i18n import tr as _

from magpie_core.errors import InputError
from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES, Modality

from .WorkerTask import WorkerTask

_SLICER_READS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")


class StudyLoader:
    """Loads images with Slicer's own readers.

    Parameters
    ----------
    port
        WorkerPort that makes the sample study and reads DICOM files.

    Attributes
    ----------
    loading
        WorkerTask that makes the sample study or reads files that Slicer does not; pass its result to `loadResult`.
    found
        What became of each series or file of the folder that was loaded last: dicts of image, use, modality, reason.
    """

    def __init__(self, port):
        self._port = port
        self.loading = WorkerTask(port)
        self.found = []
        self._count = 0

    def loadFolder(self, folder):
        """Load the modalities of one visit from a folder of image files; returns modality -> volume node.

        DICOM and other files that Slicer does not read as MAGPIE does are read by the worker: nothing is returned, and
        `loading` signals the end.

        Raises
        ------
        InputError
            If no modality, more than one visit or an ambiguous choice is found, or a file cannot be read.
        """
        from magpie_core.io.discovery import find_modalities, reads_dicom
        from magpie_core.io.image_files import account_of_files

        folder = Path(folder)
        self.found = []
        files = {} if reads_dicom(folder) else find_modalities(folder)
        if not files or not all(path.name.lower().endswith(_SLICER_READS) for path in files.values()):
            self._count += 1
            output = self._port.folder / f"study-{self._count}"
            # What is open is a warning, not a refusal: the selectors show the likelier, and the user can change them.
            self.loading.start({"kind": "read_images", "images": str(folder), "output": str(output), "likely": True})
            return {}
        nodes = self._load({modality.value: path for modality, path in files.items()}, folder.name, str(folder))
        self.found = [image.as_dict() for image in account_of_files(folder, files)]
        return nodes

    def makeSample(self):
        """Start to make a synthetic study; no patient data, no download."""
        self._count += 1
        self.loading.start({"kind": "sample", "output": str(self._port.folder / f"sample-{self._count}")})

    def cancel(self):
        """Cancel `loading`, without a signal; its result is not wanted any more."""
        self.loading.cancel()
        self.loading.forget()

    def loadResult(self, message):
        """Load the result of `loading`; returns modality -> volume node."""
        name = message.get("name") or ""
        nodes = self._load(message["images"], name or _("Sample"), name)
        self.found = message.get("found", [])
        return nodes

    def runSample(self):
        """Make a synthetic study, wait for it, and load it; for scripts.

        Raises
        ------
        MagpieError
            If it cannot be made.
        """
        return self.loadResult(self._port.wait(self.loading, self.makeSample))

    @staticmethod
    def _load(files, study, source):
        files = {modality: path for modality, path in files.items() if modality in GLIOMA_MODALITY_NAMES}
        if not files:
            names = ", ".join(Modality(name).label for name in GLIOMA_MODALITY_NAMES)
            raise InputError(_("The folder holds none of {names}").format(names=names), source=source)
        nodes = {}
        logic = slicer.modules.volumes.logic()
        for modality, path in files.items():
            node = logic.AddArchetypeVolume(str(path), f"{study} {Modality(modality).label}", 0)
            if node is None:
                for loaded in nodes.values():
                    slicer.mrmlScene.RemoveNode(loaded)
                raise InputError(
                    _("The image could not be loaded"),
                    remedy=_("Check the file; Slicer's error log has the details"),
                    source=str(path),
                )
            nodes[modality] = node
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        if hierarchy is not None:
            item = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), study)
            for node in nodes.values():
                child = hierarchy.GetItemByDataNode(node)
                if child:
                    hierarchy.SetItemParent(child, item)
        return nodes
