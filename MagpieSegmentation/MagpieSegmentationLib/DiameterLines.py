"""The two diameters of each region as line nodes."""

import numpy as np
import slicer
from slicer.i18n import tr as _

from magpie_core.imaging.glioma import Region, Tissue

from .Formatting import millimetersText
from .SegmentationExporter import SegmentationExporter
from .SegmentationImporter import placeBeside
from .VolumeExporter import VolumeExporter

_LABEL_SIZE_MM = (36, 12, 5)  # what "41 mm" covers in an axial view of a head
_ROLE = "MAGPIE.diameter"
_OUTERMOST = {Region.WT: Tissue.ED, Region.TC: Tissue.NCR, Region.ET: Tissue.ET}  # gives a region its color


class DiameterLines:
    """Line nodes in the slices, with the length at an end where nothing covers it; measured on the current segments."""

    def shown(self, result):
        """Return the line nodes of a result that are in the scene."""
        lines = slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")
        return [node for node in lines if node.GetNodeReference(_ROLE) is result.segmentationNode]

    def show(self, result):
        """Draw the lines of a result, in place of earlier ones; returns the line nodes.

        Raises
        ------
        InputError
            If a segment has an unknown terminology.
        """
        from magpie_core.imaging.geometry import Geometry
        from magpie_core.imaging.label_schema import label_schema
        from magpie_core.report.diameters import diameters

        self.hide(result)
        if result is None or result.referenceNode is None:
            return []
        labels = SegmentationExporter().labels(result.segmentationNode, result.referenceNode).transpose(2, 1, 0)
        matrix = VolumeExporter.ijkToWorld(result.referenceNode)
        affine = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
        geometry = Geometry(labels.shape, affine)
        schema = label_schema("magpie")
        nodes, taken = [], []
        for region in (Region.WT, Region.TC, Region.ET):
            found = diameters(schema.region_mask(labels, region), geometry)
            if found is None:
                continue
            color = [level / 255 for level in _OUTERMOST[region].color]
            names = _("{region}, longest"), _("{region}, perpendicular")
            for name, ends in zip(names, (found.longest_ends_mm, found.perpendicular_ends_mm), strict=True):
                node = self._line(result, name.format(region=region.label), ends, color)
                self._label(node, ends, taken)
                nodes.append(node)
        return nodes

    def hide(self, result):
        """Remove the lines of a result."""
        for node in self.shown(result) if result is not None else ():
            slicer.mrmlScene.RemoveNode(node)

    @staticmethod
    def middle(line):
        """Return the middle of a line node, RAS mm in the world."""
        return np.mean([line.GetNthControlPointPositionWorld(index) for index in range(2)], axis=0)

    @classmethod
    def _label(cls, node, ends, taken):
        """Write the length at the first end where it covers no other label, if there is one."""
        free = [not any(cls._overlap(end, other) for other in taken) for end in ends]
        index = free.index(True) if any(free) else None
        for end in range(len(ends)):
            node.SetNthControlPointLabel(end, "")
        if index is not None:
            length = np.linalg.norm(np.subtract(*ends))
            node.SetNthControlPointLabel(index, _("{n} mm").format(n=millimetersText(length)))
            taken.append(ends[index])

    @staticmethod
    def _overlap(end, other):
        """Whether labels at two places would cover each other in an axial slice."""
        return all(abs(a - b) < size for a, b, size in zip(end, other, _LABEL_SIZE_MM, strict=True))

    @staticmethod
    def _line(result, name, ends, color):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", name)
        node.SetNodeReferenceID(_ROLE, result.segmentationNode.GetID())
        for end in ends:
            node.AddControlPointWorld([float(value) for value in end])
        node.SetLocked(True)
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        if display is not None:
            display.SetColor(*color)
            display.SetSelectedColor(*color)
            display.SetPropertiesLabelVisibility(False)
            display.SetPointLabelsVisibility(True)
            display.SetVisibility3D(False)
        placeBeside(node, result.segmentationNode)
        return node
