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
from .SceneNodes import LABELS, createNode, findNode, findNodes, loadVolume, removeNode

# Attributes of nodes; saved scenes have them.
_EXPERT, _DOMINANT = "MAGPIE.expert", "MAGPIE.askedMost"
_RESULT, _DESCRIPTION = "MAGPIE.result", "MAGPIE.told"
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
    """Return short names of the regions that experts are compared with, for table headers."""
    return {
        "ET": _("Enhancing"),
        "TC": _("Core"),
        "ED": _("Edema"),
        "background": _("Brain"),
        "boundary": _("Boundary"),
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
        previous = [
            *self.maps(),
            *findNodes("vtkMRMLLabelMapVolumeNode", _DOMINANT),
            *findNodes(_COLOR_TABLE, _DOMINANT),
        ]
        colors = self.colors()
        names = regionNames()
        nodes = []
        try:
            for number, (path, region) in enumerate(zip(message["maps"], message["names"], strict=True), 1):
                name = _("Expert {n}").format(n=number)
                if region:
                    name = _("{expert} ({region})").format(expert=name, region=names[region])
                nodes.append(loadVolume(path, name))
            dominant = loadVolume(message["dominant"], _("Dominant expert"), LABELS)
        except InputError:
            for node in nodes:
                removeNode(node)
            raise
        for node in previous:
            removeNode(node)
        self.inputs = self._requested
        for number, node in enumerate(nodes, 1):
            node.SetAttribute(_EXPERT, str(number))
            display = node.GetDisplayNode()
            display.AutoWindowLevelOff()
            display.SetWindowLevelMinMax(0, 0.6 * FULL)
            display.AutoThresholdOff()
            if colors:
                display.SetAndObserveColorNodeID(colors[0].GetID())
        dominant.SetAttribute(_DOMINANT, "map")
        dominant.GetDisplayNode().SetAndObserveColorNodeID(self._createColorTable(nodes).GetID())
        nodes[0].SetNodeReferenceID(_RESULT, result.segmentationNode.GetID())
        nodes[0].SetAttribute(_DESCRIPTION, self._describe(message, result))

    @staticmethod
    def maps():
        """Return the volume nodes of the maps, in the order of the experts."""
        nodes = findNodes("vtkMRMLScalarVolumeNode", _EXPERT)
        return sorted(nodes, key=lambda node: int(node.GetAttribute(_EXPERT)))

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
        """Add a color table with the name and the color of each expert."""
        node = createNode(_COLOR_TABLE, _("Experts"), _DOMINANT, "colors")
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
