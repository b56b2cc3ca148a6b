"""Studies into the scene: from a folder, or synthetic."""

from pathlib import Path

import slicer
from slicer.i18n import tr as _

from magpie_core.errors import InputError
from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES, Modality

from .WorkerTask import WorkerTask


class StudyLoader:
    """Loads images with Slicer's own readers.

    Parameters
    ----------
    port
        WorkerPort that makes the sample study and reads DICOM files.

    Attributes
    ----------
    loading
        WorkerTask that makes the sample study or reads DICOM files; pass its result to `loadResult`.
    """

    def __init__(self, port):
        self._port = port
        self.loading = WorkerTask(port)
        self._count = 0

    def loadFolder(self, folder):
        """Load the modalities of one visit from a folder of NIfTI files; returns modality -> volume node.

        A folder of DICOM files is read by the worker: nothing is returned, and `loading` signals the end.

        Raises
        ------
        InputError
            If no modality, more than one visit or an ambiguous choice is found, or a file cannot be read.
        """
        from magpie_core.io.discovery import find_modalities, reads_dicom

        folder = Path(folder)
        if reads_dicom(folder):
            self._count += 1
            output = self._port.folder / f"dicom-{self._count}"
            # What is open is a warning, not a refusal: the selectors show the likelier, and the user can change them.
            self.loading.start({"kind": "read_images", "images": str(folder), "output": str(output), "likely": True})
            return {}
        files = {modality.value: path for modality, path in find_modalities(folder).items()}
        return self._load(files, folder.name, str(folder))

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
        return self._load(message["images"], name or _("Sample"), name)

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
