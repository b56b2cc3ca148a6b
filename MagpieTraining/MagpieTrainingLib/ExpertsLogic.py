"""Expert maps as volumes of the scene."""

import slicer
import vtk
from MagpieSegmentationLib.SegmentationExporter import SegmentationExporter
from MagpieSegmentationLib.SegmentationResult import SegmentationResult
from MagpieSegmentationLib.VolumeExporter import VolumeExporter
from MagpieSegmentationLib.WorkerTask import WorkerTask
from slicer.i18n import tr as _

from magpie_core.errors import InputError

from .Colors import categoricalColor
from .SceneNodes import createNode, findNode, findNodes, putIntoFolder, readVolume, removeNode, showVolume

# Attributes of nodes; saved scenes have them.
_EXPERT, _DOMINANT, _REGION = "MAGPIE.expert", "MAGPIE.askedMost", "MAGPIE.region"
_RESULT, _DESCRIPTION = "MAGPIE.result", "MAGPIE.description"
_COLOR_TABLE = "vtkMRMLColorTableNode"
_COLORS = (
    "vtkMRMLColorTableNodeFileInferno.txt",
    "vtkMRMLColorTableNodeFileViridis.txt",
    "vtkMRMLColorTableNodeFilePlasma.txt",
    "vtkMRMLColorTableNodeIron",
    "vtkMRMLColorTableNodeOcean",
    "vtkMRMLColorTableNodeGrey",
)
FULL = 255.0


def regionNames():
    """Return the names of the regions that experts are compared with, for the names of experts."""
    return {
        "ET": _("Enhancing"),
        "TC": _("Core"),
        "ED": _("Edema"),
        "background": _("Brain"),
        "boundary": _("Boundary"),
    }


def regionHeaders():
    """Return (short name, explanation) of these regions for the headers of a narrow table."""
    return {
        "ET": (_("ET"), _("Enhancing tumor")),
        "TC": (_("TC"), _("Tumor core: enhancing tumor and necrosis")),
        "ED": (_("ED"), _("Edema")),
        "background": (_("Brain"), _("Brain without tumor")),
        "boundary": (_("Edge"), _("Boundary of the tumor")),
    }


class ExpertsLogic:
    """Computes expert maps with the worker and loads them as volumes.

    Parameters
    ----------
    port
        WorkerPort.

    Attributes
    ----------
    explaining
        WorkerTask; pass its result to `load`.
    inputs
        Files of the study whose maps are in the scene, by modality; empty for maps of a loaded scene.
    layer
        Mixture-of-experts layer to map next, or "mean" of all; None for the layer with the finest tokens.
    """

    def __init__(self, port):
        self._port = port
        self.explaining = WorkerTask(port)
        self.inputs = {}
        self._requested = {}
        self.layer = None
        self._count = 0

    def start(self, result, **options):
        """Start to compute the expert maps of the study of a SegmentationResult.

        Raises
        ------
        InputError
            If its volumes were removed from the scene.
        """
        volumes = result.volumes()
        if not volumes or result.referenceNode is None:
            raise InputError(
                _("The images of this result are not in the scene any more"), remedy=_("Segment the study again")
            )
        self._count += 1
        folder = self._port.folder / f"experts-{self._count}"
        folder.mkdir()
        SegmentationExporter().export(result.segmentationNode, result.referenceNode, folder / "labels.nii")
        self._requested = VolumeExporter().exportStudy(volumes, folder)
        self.explaining.start(
            {
                "kind": "explain",
                "images": self._requested,
                "reference": str(folder / "labels.nii"),
                "output": str(folder / "maps"),
                "name": result.referenceNode.GetName(),
                "layer": self.layer,
                "template": True,
                "maps_only": True,
                **options,
            }
        )

    def load(self, message, result):
        """Load the maps of a SegmentationResult, in place of earlier ones.

        Raises
        ------
        InputError
            If one cannot be read; earlier maps stay.
        """
        volumes = [readVolume(path) for path in message["maps"]]
        dominantVolume = readVolume(message["dominant"], "vtkMRMLLabelMapVolumeNode")
        for node in self.maps()[len(volumes) :]:
            removeNode(node)
        colors, regions = self.colors(), regionNames()
        nodes = []
        for number, (volume, region) in enumerate(zip(volumes, message["names"], strict=True), 1):
            name = _("Expert {n}").format(n=number)
            if region:
                name = _("{expert} ({region})").format(expert=name, region=regions[region])
            node = showVolume(volume, name, _EXPERT, str(number))
            node.SetAttribute(_REGION, regions.get(region))
            display = node.GetDisplayNode()
            display.AutoWindowLevelOff()
            display.SetWindowLevelMinMax(0, 0.6 * FULL)
            display.AutoThresholdOff()
            if colors:
                display.SetAndObserveColorNodeID(colors[0].GetID())
            nodes.append(node)
        self.inputs = self._requested
        dominant = showVolume(dominantVolume, _("Dominant expert"), _DOMINANT, "map")
        dominant.GetDisplayNode().SetAndObserveColorNodeID(self._createColorTable(nodes).GetID())
        nodes[0].SetNodeReferenceID(_RESULT, result.segmentationNode.GetID())
        nodes[0].SetAttribute(_DESCRIPTION, self._describe(message, result))
        self.file([*nodes, dominant], result)

    @staticmethod
    def maps():
        """Return the volume nodes of the maps, in the order of the experts."""
        nodes = findNodes("vtkMRMLScalarVolumeNode", _EXPERT)
        return sorted(nodes, key=lambda node: int(node.GetAttribute(_EXPERT)))

    @staticmethod
    def folderName():
        """Return the name of the folder of the maps in the subject hierarchy."""
        return _("Expert maps")

    @classmethod
    def file(cls, nodes, result):
        """Put nodes beside the volumes of a SegmentationResult in the subject hierarchy."""
        putIntoFolder(nodes, cls.folderName(), result.referenceNode or result.segmentationNode)

    @staticmethod
    def regionOf(node):
        """Return the region that the expert of a map agrees with most, as a short name; empty if with none."""
        return node.GetAttribute(_REGION) or ""

    @staticmethod
    def dominant():
        """Return the vtkMRMLLabelMapVolumeNode of the dominant expert; None without maps."""
        return findNode("vtkMRMLLabelMapVolumeNode", _DOMINANT)

    @classmethod
    def result(cls):
        """Return the SegmentationResult of the maps in the scene; None if there is none."""
        maps = cls.maps()
        return SegmentationResult.of(maps[0].GetNodeReference(_RESULT)) if maps else None

    @classmethod
    def description(cls):
        """Return the study, the layer and the resolution of the maps as text; empty without maps."""
        maps = cls.maps()
        return (maps[0].GetAttribute(_DESCRIPTION) or "") if maps else ""

    @staticmethod
    def _describe(message, result):
        layers, layer = message["layers"], message["layer"]
        return _("{study}: {layer}. Resolution of the maps: {mm} mm.").format(
            study=result.referenceNode.GetName() if result.referenceNode is not None else "",
            layer=_("mean of all layers") if layer == "mean" else layers[layer],
            mm=f"{message['token_mm']:.0f}",
        )

    @staticmethod
    def _createColorTable(maps):
        """Return a color table with the name and the color of each expert."""
        node = findNode(_COLOR_TABLE, _DOMINANT) or createNode(_COLOR_TABLE, _("Experts"), _DOMINANT, "colors")
        node.SetTypeToUser()
        node.HideFromEditorsOff()
        node.SetNumberOfColors(len(maps) + 1)
        node.SetColor(0, _("None"), 0.0, 0.0, 0.0, 0.0)
        for number, expert in enumerate(maps, 1):
            node.SetColor(number, expert.GetName(), *categoricalColor(number - 1), 1.0)
        return node

    @classmethod
    def weightsAt(cls, ras):
        """Return the routing weight of each expert at a position (RAS mm), 0 to 1; empty outside the maps."""
        values = []
        for node in cls.maps():
            toIjk = vtk.vtkMatrix4x4()
            node.GetRASToIJKMatrix(toIjk)
            index = [round(value) for value in toIjk.MultiplyPoint([*ras, 1.0])[:3]]
            size = node.GetImageData().GetDimensions()
            if not all(0 <= voxel < length for voxel, length in zip(index, size, strict=True)):
                return []
            values.append(node.GetImageData().GetScalarComponentAsDouble(*index, 0) / FULL)
        return values

    @staticmethod
    def colors():
        """Return the color tables to choose from."""
        nodes = [slicer.mrmlScene.GetNodeByID(identifier) for identifier in _COLORS]
        return [node for node in nodes if node is not None]

    @classmethod
    def setDisplay(cls, threshold, colorNode):
        """Set the threshold (0 to 1) and the color table of all maps; None keeps their color table."""
        for node in cls.maps():
            display = node.GetDisplayNode()
            display.SetApplyThreshold(True)
            display.SetThreshold(max(1.0, threshold * FULL), FULL)
            if colorNode is not None:
                display.SetAndObserveColorNodeID(colorNode.GetID())
