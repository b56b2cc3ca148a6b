"""Attention points of the crosshair position, as model nodes."""

import slicer
import vtk
from MagpieSegmentationLib.WorkerTask import WorkerTask
from slicer.i18n import tr as _

from .SceneNodes import createNode, findNodes, removeNode

_MARK = "MAGPIE.attention"
_COLORS = "vtkMRMLColorTableNodeFilePlasma.txt"


class AttentionLogic:
    """Computes the attention points with the worker and shows a model of lines for each attention layer.

    Parameters
    ----------
    port
        WorkerPort.

    Attributes
    ----------
    attending
        WorkerTask; pass its result to `load`.
    """

    def __init__(self, port):
        self.attending = WorkerTask(port)

    def start(self, images, ras, **options):
        """Start to compute the attention points of a position (RAS mm) in a study (`images`: modality -> path)."""
        self.attending.start({"kind": "attention", "images": images, "at": [float(n) for n in ras], **options})

    def load(self, message):
        """Show the points of a result, in place of earlier ones; returns the model nodes."""
        self.remove()
        layers = {}
        for point in message["points"]:
            layers.setdefault(point["layer"], []).append(point)
        return [self._model(layer, points) for layer, points in layers.items()]

    def models(self):
        """Return the model nodes, one for each layer."""
        return findNodes("vtkMRMLModelNode", _MARK)

    def remove(self):
        """Remove the model nodes."""
        for node in self.models():
            removeNode(node)

    @staticmethod
    def _model(layer, points):
        """Add a model with a vertex for each point and a line to it from its position without the learned offset."""
        positions, weights = vtk.vtkPoints(), vtk.vtkFloatArray()
        lines, vertices = vtk.vtkCellArray(), vtk.vtkCellArray()
        weights.SetName("weight")
        for point in points:
            first = positions.InsertNextPoint(point["from_ras"])
            last = positions.InsertNextPoint(point["ras"])
            lines.InsertNextCell(2)
            lines.InsertCellPoint(first)
            lines.InsertCellPoint(last)
            vertices.InsertNextCell(1)
            vertices.InsertCellPoint(last)
            for _end in range(2):
                weights.InsertNextValue(point["weight"])
        polyData = vtk.vtkPolyData()
        polyData.SetPoints(positions)
        polyData.SetVerts(vertices)
        polyData.SetLines(lines)
        polyData.GetPointData().SetScalars(weights)
        node = createNode("vtkMRMLModelNode", _("Attention: {layer}").format(layer=layer), _MARK, layer)
        node.SetAndObservePolyData(polyData)
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
