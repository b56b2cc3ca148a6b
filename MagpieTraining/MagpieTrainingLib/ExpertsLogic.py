"""Maps of what the experts saw, in the scene."""

import slicer
import vtk
from MagpieSegmentationLib.SegmentationExporter import SegmentationExporter
from MagpieSegmentationLib.VolumeExporter import VolumeExporter
from MagpieSegmentationLib.WorkerTask import WorkerTask
from slicer.i18n import tr as _

from magpie_core.errors import InputError

from .Colors import distinct

_ATTRIBUTE = "MAGPIE.expert"
_DOMINANT = "MAGPIE.dominant"
_SCALARS, _LABELS = 0, 1  # what AddArchetypeVolume is to make
_COLORS = (
    "vtkMRMLColorTableNodeFileInferno.txt",
    "vtkMRMLColorTableNodeFileViridis.txt",
    "vtkMRMLColorTableNodeFilePlasma.txt",
    "vtkMRMLColorTableNodeIron",
    "vtkMRMLColorTableNodeOcean",
    "vtkMRMLColorTableNodeGrey",
)
FULL = 255.0


def regionWords():
    """What to call the regions that experts are compared with."""
    return {
        "ET": _("Enhancing"),
        "TC": _("Core"),
        "ED": _("Edema"),
        "background": _("Rest"),
        "boundary": _("Border"),
    }


class ExpertsLogic:
    """Asks the worker for maps and keeps them as volumes beside the study.

    Parameters
    ----------
    port
        WorkerPort.

    Attributes
    ----------
    explaining
        WorkerTask; its result goes to `load`.
    inputs
        Files of the study that was looked at last, by sequence; empty if none was.
    layer
        Number of the mixture of experts to look at next, or "mean" of all; None for the one with the finest tokens.
    """

    def __init__(self, port):
        self._port = port
        self.explaining = WorkerTask(port)
        self.inputs = {}
        self.layer = None
        self._count = 0

    def start(self, result, **options):
        """Begin to look at what the experts saw in the study of a SegmentationResult.

        Raises
        ------
        InputError
            If its volumes are not in the scene any more.
        """
        volumes = result.volumes()
        if not volumes or result.referenceNode is None:
            raise InputError(
                _("The images of this result are not in the scene any more"),
                remedy=_("Segment the study again"),
            )
        self._count += 1
        folder = self._port.folder / f"experts-{self._count}"
        folder.mkdir()
        SegmentationExporter().export(result.segmentationNode, result.referenceNode, folder / "labels.nii")
        self.inputs = VolumeExporter().exportStudy(volumes, folder)
        self.explaining.start(
            {
                "kind": "explain",
                "inputs": self.inputs,
                "labels": str(folder / "labels.nii"),
                "output": str(folder / "maps"),
                "name": result.referenceNode.GetName(),
                "layer": self.layer,
                **options,
            }
        )

    def load(self, message):
        """Load the maps of a result; returns their volume nodes, and takes those of before out of the scene."""
        for node in (*self.maps(), *self._dominantNodes()):
            slicer.mrmlScene.RemoveNode(node)
        colors = self.colors()
        nodes = []
        words = regionWords()
        for number, (path, region) in enumerate(zip(message["maps"], message["names"], strict=True), 1):
            name = _("Expert {n}").format(n=number)
            if region:
                name = _("{expert} ({region})").format(expert=name, region=words[region])
            node = self._loaded(path, name, _SCALARS)
            node.SetAttribute(_ATTRIBUTE, str(number))
            display = node.GetDisplayNode()
            display.AutoWindowLevelOff()
            display.SetWindowLevelMinMax(0, 0.6 * FULL)
            display.AutoThresholdOff()
            if colors:
                display.SetAndObserveColorNodeID(colors[0].GetID())
            nodes.append(node)
        labels = self._loaded(message["dominant"], _("The one asked most"), _LABELS)
        labels.SetAttribute(_DOMINANT, "1")
        labels.GetDisplayNode().SetAndObserveColorNodeID(self._colorsOf(nodes).GetID())
        return nodes

    @classmethod
    def dominant(cls):
        """The label map of which expert was asked most, a vtkMRMLLabelMapVolumeNode; None before there is one."""
        return next((node for node in cls._dominantNodes() if node.IsA("vtkMRMLLabelMapVolumeNode")), None)

    @staticmethod
    def _dominantNodes():
        """The label map, and its colours."""
        kinds = ("vtkMRMLLabelMapVolumeNode", "vtkMRMLColorTableNode")
        nodes = [node for kind in kinds for node in slicer.util.getNodesByClass(kind)]
        return [node for node in nodes if node.GetAttribute(_DOMINANT)]

    @staticmethod
    def _loaded(path, name, kind):
        node = slicer.modules.volumes.logic().AddArchetypeVolume(path, name, kind)
        if node is None:
            raise InputError(_("A map could not be loaded"), source=path)
        node.SetName(name)  # Slicer makes it unlike any name it ever gave
        node.SetAndObserveStorageNodeID(None)
        return node

    @staticmethod
    def _colorsOf(maps):
        """A colour table with the name and the colour of each expert."""
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", _("Experts"))
        node.SetAttribute(_DOMINANT, "1")
        node.SetTypeToUser()
        node.SetNumberOfColors(len(maps) + 1)
        node.SetColor(0, _("None"), 0.0, 0.0, 0.0, 0.0)
        for number, expert in enumerate(maps, 1):
            node.SetColor(number, expert.GetName(), *distinct(number - 1), 1.0)
        return node

    @staticmethod
    def maps():
        """The volume nodes of the maps, in the order of the experts."""
        nodes = [
            node
            for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
            if node.GetAttribute(_ATTRIBUTE)
        ]
        return sorted(nodes, key=lambda node: int(node.GetAttribute(_ATTRIBUTE)))

    @classmethod
    def at(cls, ras):
        """How much each expert was asked at a place (RAS mm in the world), 0 to 1; empty outside the maps."""
        values = []
        for node in cls.maps():
            toIjk = vtk.vtkMatrix4x4()
            node.GetRASToIJKMatrix(toIjk)
            index = [round(value) for value in toIjk.MultiplyPoint([*ras, 1.0])[:3]]
            size = node.GetImageData().GetDimensions()
            if not all(0 <= place < length for place, length in zip(index, size, strict=True)):
                return []
            values.append(node.GetImageData().GetScalarComponentAsDouble(*index, 0) / FULL)
        return values

    @staticmethod
    def colors():
        """The colour tables to choose from."""
        nodes = [slicer.mrmlScene.GetNodeByID(identifier) for identifier in _COLORS]
        return [node for node in nodes if node is not None]

    @classmethod
    def paint(cls, threshold, colorNode):
        """Colour all maps by a table (None for the one they have), and hide what lies below a threshold (0 to 1)."""
        for node in cls.maps():
            display = node.GetDisplayNode()
            display.SetApplyThreshold(True)
            display.SetThreshold(max(1.0, threshold * FULL), FULL)
            if colorNode is not None:
                display.SetAndObserveColorNodeID(colorNode.GetID())
