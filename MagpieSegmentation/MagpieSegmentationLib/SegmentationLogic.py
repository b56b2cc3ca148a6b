"""From volume nodes to a segmentation node, by a worker process."""

import json
import shutil
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from magpie_core.errors import Cancelled, InputError, MagpieError
from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES

from .ModalityAssignment import ModalityAssignment
from .SegmentationImporter import SegmentationImporter
from .SegmentationResult import SegmentationResult
from .Signal import Signal
from .VolumeExporter import VolumeExporter
from .WorkerPort import WorkerPort
from .WorkerTask import WorkerTask


class SegmentationLogic:
    """Segments the glioma of one study; takes nodes and values, no widgets.

    `poll` has to be called regularly while a segmentation runs, e.g. by a timer; the signals are emitted from it.
    The worker process runs between segmentations, with its model loaded, until `close`.

    Parameters
    ----------
    port
        WorkerPort; one of its own by default.
    exporter, importer
        VolumeExporter and SegmentationImporter.

    Attributes
    ----------
    progressChanged
        Signal(fraction, stage), 0 to 1.
    warned
        Signal(text): a warning; the segmentation continues.
    finished
        Signal(SegmentationResult).
    failed
        Signal(MagpieError); of class Cancelled if the user cancelled the segmentation.
    """

    def __init__(self, port=None, exporter=None, importer=None):
        self.port = port or WorkerPort()
        self._task = WorkerTask(self.port, self._withNodeNames)
        self.progressChanged = self._task.progressChanged
        self.warned = self._task.warned
        self.finished = Signal()
        self.failed = Signal()
        self._task.finished.connect(self._finish)
        self._task.failed.connect(self._fail)
        self._exporter = exporter or VolumeExporter()
        self._importer = importer or SegmentationImporter()
        self._volumes = {}
        self._folder = None
        self._count = 0

    @property
    def isRunning(self):
        """Whether a segmentation is running."""
        return self._task.isRunning

    def start(self, volumes, *, model=None, device="auto", threads=None):
        """Start a segmentation; returns at once.

        Parameters
        ----------
        volumes
            Modality ("T1", "T1CE", "T2", "FLAIR") -> volume node or None; any subset.
        model
            Model folder or name; the default model if None.
        device
            "auto", "cpu", "gpu" (CUDA, or MPS on a Mac), "cuda", "cuda:N" or "mps".
        threads
            CPU threads of the worker; chosen by the worker if None.

        Raises
        ------
        InputError
            If there is no volume, one is given twice, or one cannot be used.
        """
        if self.isRunning:
            raise RuntimeError("a segmentation is running")
        self._volumes = self._checked(volumes)
        self._count += 1
        self._folder = self.port.folder / f"study-{self._count}"
        self._folder.mkdir()
        try:
            images = self._exporter.exportStudy(self._volumes, self._folder)
        except Exception:
            self._cleanUp()
            raise
        self._task.start(
            {
                "kind": "segment",
                "images": images,
                "output": str(self._folder / "result"),
                "name": self._reference().GetName(),
                "model": None if model is None else str(model),
                "device": device,
                "threads": threads,
            }
        )

    def poll(self):
        """Process the messages of the worker and emit the signals; returns at once."""
        self.port.poll()

    def cancel(self):
        """Request cancellation; `failed` is emitted with a Cancelled when the segmentation has ended."""
        self._task.cancel()

    def run(self, volumes, **options):
        """Segment, wait for the end, and return the result; for scripts.

        Raises
        ------
        MagpieError
            If it fails.
        """
        return self.port.wait(self, lambda: self.start(volumes, **options))

    def close(self):
        """End the worker process and remove its files."""
        self._task.forget()
        self.port.close()
        self._volumes, self._folder = {}, None

    @staticmethod
    def _checked(volumes):
        unknown = sorted(set(volumes) - set(GLIOMA_MODALITY_NAMES))
        if unknown:
            raise InputError(_("There is no modality {name}").format(name=unknown[0]))
        chosen = {
            modality: volumes[modality] for modality in GLIOMA_MODALITY_NAMES if volumes.get(modality) is not None
        }
        if not chosen:
            raise InputError(_("No image is chosen"), remedy=_("Choose at least one modality"))
        for node, modalities in ModalityAssignment.chosenTwice(chosen):
            raise InputError(
                _("The same volume is chosen more than once"),
                cause=_("as {modalities}").format(modalities=ModalityAssignment.namesOf(modalities)),
                remedy=_("Choose another volume, or none, for one of them"),
                source=node.GetName(),
            )
        return chosen

    def _reference(self):
        """Return the volume that names the study: T1ce if there is one."""
        return self._volumes.get("T1CE") or next(iter(self._volumes.values()))

    def _finish(self, message):
        self.progressChanged.emit(1.0, _("Loading the result"))
        try:
            with slicer.util.RenderBlocker():  # the views are drawn once, in a quarter of the time
                result = self._load(message)
                self._cleanUp()
                self.finished.emit(result)
        except MagpieError as error:
            self._fail(error)
        except Exception as error:
            cause = f"{type(error).__name__}: {error}"
            self._fail(MagpieError(_("The result could not be loaded into the scene"), cause=cause))

    def _load(self, message):
        report = json.loads(Path(message["report"]).read_text(encoding="utf-8"))
        reference = self._volumes[report["reference"]]
        if reference.GetScene() is None:
            raise Cancelled(_("The volumes were removed from the scene"))
        report["warnings"] = [self._withNodeNames(text) for text in report["warnings"]]
        name = slicer.mrmlScene.GenerateUniqueName(_("{name} glioma").format(name=reference.GetName()))
        node = self._importer.load(message["segmentation"], reference, name)
        picture = message.get("preparation")
        if picture:
            kept = self.port.folder / f"preprocessing-{self._count}.png"
            picture = str(shutil.copyfile(picture, kept))
        result = SegmentationResult(node, report, picture or "").attach()
        result.keepProposal()
        result.keepVolumes(self._volumes)
        return result

    def _fail(self, error):
        self._cleanUp()
        self.failed.emit(error)

    def _cleanUp(self):
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._volumes, self._folder = {}, None

    def _withNodeNames(self, text):
        """Replace file names of the worker by names of volume nodes."""
        for modality, node in self._volumes.items():
            path = self._folder / f"{modality}.nii"
            text = text.replace(str(path), node.GetName()).replace(path.name, node.GetName())
        return text
