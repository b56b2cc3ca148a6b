"""Studies into the scene: from a folder, or made on the spot."""

import time
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from magpie_core.errors import InputError, MagpieError

from .WorkerTask import WorkerTask

_NAMES = {"T1": "T1", "T1CE": "T1ce", "T2": "T2", "FLAIR": "FLAIR"}


class StudyLoader:
    """Loads images with Slicer's own readers.

    Parameters
    ----------
    port
        WorkerPort, for making the sample study.

    Attributes
    ----------
    making
        WorkerTask that makes the sample study or reads DICOM files; its result goes to `loadMade`.
    """

    def __init__(self, port):
        self._port = port
        self.making = WorkerTask(port)
        self._count = 0

    def loadFolder(self, folder):
        """Load the modalities of one visit from a folder of NIfTI files; returns modality -> volume node.

        A folder of DICOM files is read by the worker: nothing is returned, and `making` tells when it is done.

        Raises
        ------
        InputError
            If no modality, more than one visit or an ambiguous choice is found, or a file cannot be read.
        """
        from magpie_core.io.dicom_study import is_dicom_source
        from magpie_core.io.discovery import find_modalities, holds_nifti

        folder = Path(folder)
        if not holds_nifti(folder) and is_dicom_source(folder):
            self._count += 1
            output = self._port.folder / f"dicom-{self._count}"
            self.making.start({"kind": "read", "source": str(folder), "output": str(output)})
            return {}
        files = find_modalities(folder)
        wanted = {modality.value: path for modality, path in files.items() if modality.value in _NAMES}
        if not wanted:
            raise self._nothing(str(folder))
        return self._load(wanted, folder.name)

    def makeSample(self):
        """Begin to make a synthetic study: no patient, and nothing is downloaded."""
        self._count += 1
        self.making.start({"kind": "sample", "output": str(self._port.folder / f"sample-{self._count}")})

    def loadMade(self, message):
        """Load what `making` made; returns modality -> volume node."""
        images = {name: path for name, path in message["images"].items() if name in _NAMES}
        if not images:
            raise self._nothing(message.get("name") or "")
        return self._load(images, message.get("name") or _("Sample"))

    def runSample(self):
        """Make a synthetic study, wait for it, and load it; for scripts.

        Raises
        ------
        MagpieError
            If it cannot be made.
        """
        outcome = []
        self.making.finished.connect(outcome.append)
        self.making.failed.connect(outcome.append)
        try:
            self.makeSample()
            while not outcome:
                slicer.app.processEvents()
                self._port.poll()
                time.sleep(0.02)
        finally:
            self.making.finished.disconnect(outcome.append)
            self.making.failed.disconnect(outcome.append)
        if isinstance(outcome[0], MagpieError):
            raise outcome[0]
        return self.loadMade(outcome[0])

    @staticmethod
    def _nothing(source):
        return InputError(_("The folder holds none of T1, T1 with contrast, T2 and FLAIR"), source=source)

    @staticmethod
    def _load(files, study):
        nodes = {}
        logic = slicer.modules.volumes.logic()
        for modality, path in files.items():
            node = logic.AddArchetypeVolume(str(path), f"{study} {_NAMES[modality]}", 0)
            if node is None:
                for loaded in nodes.values():
                    slicer.mrmlScene.RemoveNode(loaded)
                raise InputError(
                    _("The image could not be loaded"),
                    remedy=_("Slicer's log says more; check the file"),
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
