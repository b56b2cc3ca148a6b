"""Maps of what the experts saw, in the scene."""

import slicer
import vtk
from MagpieSegmentationLib.SegmentationExporter import SegmentationExporter
from MagpieSegmentationLib.SegmentationResult import SegmentationResult
from MagpieSegmentationLib.VolumeExporter import VolumeExporter
from MagpieSegmentationLib.WorkerTask import WorkerTask
from slicer.i18n import tr as _

from magpie_core.errors import InputError

from .Colors import distinct
from .SceneNodes import LABELS, firstMarked, loaded, made, marked, remove

_EXPERT, _MOST, _RESULT, _TOLD = "MAGPIE.expert", "MAGPIE.askedMost", "MAGPIE.result", "MAGPIE.told"
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
        Files of the study whose maps are in the scene, by modality; empty if they are not of this session.
    layer
        Name of the mixture of experts to look at next, or "mean" of all; None for the one with the finest tokens.
    """

    def __init__(self, port):
        self._port = port
        self.explaining = WorkerTask(port)
        self.inputs = {}
        self._asked = {}
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
        self._asked = VolumeExporter().exportStudy(volumes, folder)
        self.explaining.start(
            {
                "kind": "explain",
                "inputs": self._asked,
                "labels": str(folder / "labels.nii"),
                "output": str(folder / "maps"),
                "name": result.referenceNode.GetName(),
                "layer": self.layer,
                **options,
            }
        )

    def load(self, message, result):
        """Load the maps of a SegmentationResult, in place of those of before.

        Raises
        ------
        InputError
            If one cannot be read; those of before stay.
        """
        before = [*self.maps(), *marked("vtkMRMLLabelMapVolumeNode", _MOST), *marked(_COLOR_TABLE, _MOST)]
        colors = self.colors()
        words = regionWords()
        nodes = []
        try:
            for number, (path, region) in enumerate(zip(message["maps"], message["names"], strict=True), 1):
                name = _("Expert {n}").format(n=number)
                if region:
                    name = _("{expert} ({region})").format(expert=name, region=words[region])
                nodes.append(loaded(path, name))
            most = loaded(message["dominant"], _("The one asked most"), LABELS)
        except InputError:
            for node in nodes:
                remove(node)
            raise
        for node in before:
            remove(node)
        self.inputs = self._asked
        for number, node in enumerate(nodes, 1):
            node.SetAttribute(_EXPERT, str(number))
            display = node.GetDisplayNode()
            display.AutoWindowLevelOff()
            display.SetWindowLevelMinMax(0, 0.6 * FULL)
            display.AutoThresholdOff()
            if colors:
                display.SetAndObserveColorNodeID(colors[0].GetID())
        most.SetAttribute(_MOST, "map")
        most.GetDisplayNode().SetAndObserveColorNodeID(self._colorsOf(nodes).GetID())
        nodes[0].SetNodeReferenceID(_RESULT, result.segmentationNode.GetID())
        nodes[0].SetAttribute(_TOLD, self._told(message, result))

    @staticmethod
    def maps():
        """The volume nodes of the maps, in the order of the experts."""
        nodes = marked("vtkMRMLScalarVolumeNode", _EXPERT)
        return sorted(nodes, key=lambda node: int(node.GetAttribute(_EXPERT)))

    @staticmethod
    def dominant():
        """The label map of which expert was asked most, a vtkMRMLLabelMapVolumeNode; None before there is one."""
        return firstMarked("vtkMRMLLabelMapVolumeNode", _MOST)

    @classmethod
    def result(cls):
        """The SegmentationResult whose maps are in the scene; None if it is not."""
        maps = cls.maps()
        return SegmentationResult.of(maps[0].GetNodeReference(_RESULT)) if maps else None

    @classmethod
    def told(cls):
        """What is to be said of the maps: of which study and part of the network they are, and how fine."""
        maps = cls.maps()
        return (maps[0].GetAttribute(_TOLD) or "") if maps else ""

    @staticmethod
    def _told(message, result):
        parts, part = message["layers"], message["layer"]
        return _("{study}: {part}. Nothing finer than {mm} mm can be seen in the maps.").format(
            study=result.referenceNode.GetName() if result.referenceNode is not None else "",
            part=_("all parts of the network together") if part == "mean" else parts[part],
            mm=f"{message['token_mm']:.0f}",
        )

    @staticmethod
    def _colorsOf(maps):
        """A color table with the name and the color of each expert."""
        node = made(_COLOR_TABLE, _("Experts"), _MOST, "colors")
        node.SetTypeToUser()
        node.HideFromEditorsOff()
        node.SetNumberOfColors(len(maps) + 1)
        node.SetColor(0, _("None"), 0.0, 0.0, 0.0, 0.0)
        for number, expert in enumerate(maps, 1):
            node.SetColor(number, expert.GetName(), *distinct(number - 1), 1.0)
        return node

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
        """The color tables to choose from."""
        nodes = [slicer.mrmlScene.GetNodeByID(identifier) for identifier in _COLORS]
        return [node for node in nodes if node is not None]

    @classmethod
    def paint(cls, threshold, colorNode):
        """Color all maps by a table (None for the one they have), and hide what lies below a threshold (0 to 1)."""
        for node in cls.maps():
            display = node.GetDisplayNode()
            display.SetApplyThreshold(True)
            display.SetThreshold(max(1.0, threshold * FULL), FULL)
            if colorNode is not None:
                display.SetAndObserveColorNodeID(colorNode.GetID())
