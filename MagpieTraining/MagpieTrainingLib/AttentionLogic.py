"""Where the network's attention looks from the crosshair, in the scene."""

import slicer
import vtk
from MagpieSegmentationLib.WorkerTask import WorkerTask
from slicer.i18n import tr as _

from .SceneNodes import made, marked, remove

_MARK = "MAGPIE.attention"
_COLORS = "vtkMRMLColorTableNodeFilePlasma.txt"


class AttentionLogic:
    """Asks the worker, and keeps a model of lines for each layer that looks.

    Parameters
    ----------
    port
        WorkerPort.

    Attributes
    ----------
    attending
        WorkerTask; its result goes to `load`.
    """

    def __init__(self, port):
        self.attending = WorkerTask(port)

    def start(self, inputs, ras, **options):
        """Begin to look from a place (RAS mm) of the study in files (`inputs`: modality -> path)."""
        self.attending.start({"kind": "attend", "inputs": inputs, "at": [float(n) for n in ras], **options})

    def load(self, message):
        """Show the points of a result, in place of the last ones; returns the model nodes."""
        self.remove()
        layers = {}
        for point in message["points"]:
            layers.setdefault(point["layer"], []).append(point)
        return [self._model(layer, points) for layer, points in layers.items()]

    def models(self):
        """The model nodes, one for each layer."""
        return marked("vtkMRMLModelNode", _MARK)

    def remove(self):
        """Take them out of the scene."""
        for node in self.models():
            remove(node)

    @staticmethod
    def _model(layer, points):
        """A line for each point, from where it would be without a learned offset, and a dot; colored by weight."""
        places, lines, dots, weights = (
            vtk.vtkPoints(),
            vtk.vtkCellArray(),
            vtk.vtkCellArray(),
            vtk.vtkFloatArray(),
        )
        weights.SetName("weight")
        for point in points:
            first = places.InsertNextPoint(point["from_ras"])
            last = places.InsertNextPoint(point["ras"])
            lines.InsertNextCell(2)
            lines.InsertCellPoint(first)
            lines.InsertCellPoint(last)
            dots.InsertNextCell(1)
            dots.InsertCellPoint(last)
            for _end in range(2):
                weights.InsertNextValue(point["weight"])
        shape = vtk.vtkPolyData()
        shape.SetPoints(places)
        shape.SetVerts(dots)
        shape.SetLines(lines)
        shape.GetPointData().SetScalars(weights)
        node = made("vtkMRMLModelNode", _("Attention: {layer}").format(layer=layer), _MARK, layer)
        node.SetAndObservePolyData(shape)
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetVisibility2D(True)
        display.SetSliceDisplayModeToProjection()
        display.SetLineWidth(2)
        display.SetPointSize(8)
        display.SetScalarVisibility(True)
        display.SetActiveScalarName("weight")
        if slicer.mrmlScene.GetNodeByID(_COLORS) is not None:
            display.SetAndObserveColorNodeID(_COLORS)
        display.SetScalarRangeFlag(slicer.vtkMRMLDisplayNode.UseManualScalarRange)
        display.SetScalarRange(0, max(point["weight"] for point in points))
        return node
