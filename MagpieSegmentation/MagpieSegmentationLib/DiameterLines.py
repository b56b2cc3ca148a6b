"""The two diameters of each region as line nodes."""

import numpy as np
import slicer
from slicer.i18n import tr as _

from magpie_core.imaging.glioma import Region, Tissue

from .SegmentationExporter import SegmentationExporter
from .VolumeExporter import VolumeExporter

_ROLE = "MAGPIE.diameter"
_OUTERMOST = {Region.WT: Tissue.ED, Region.TC: Tissue.NCR, Region.ET: Tissue.ET}  # gives a region its color


class DiameterLines:
    """Line nodes, shown by Slicer with their lengths; measured on the current segments."""

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
        nodes = []
        for region in (Region.WT, Region.TC, Region.ET):
            found = diameters(schema.region_mask(labels, region), geometry)
            if found is None:
                continue
            color = [level / 255 for level in _OUTERMOST[region].color]
            names = _("{region}, longest"), _("{region}, perpendicular")
            for name, ends in zip(names, (found.longest_ends_mm, found.perpendicular_ends_mm), strict=True):
                nodes.append(self._line(result, name.format(region=region.label), ends, color))
        return nodes

    def hide(self, result):
        """Remove the lines of a result."""
        if result is None:
            return
        owner = result.segmentationNode.GetID()
        for node in slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode"):
            if node.GetAttribute(_ROLE) == owner:
                slicer.mrmlScene.RemoveNode(node)

    @staticmethod
    def _line(result, name, ends, color):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", name)
        node.SetAttribute(_ROLE, result.segmentationNode.GetID())
        for end in ends:
            node.AddControlPointWorld(*(float(value) for value in end))
        node.SetLocked(True)
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        if display is not None:
            display.SetColor(*color)
            display.SetSelectedColor(*color)
        return node
