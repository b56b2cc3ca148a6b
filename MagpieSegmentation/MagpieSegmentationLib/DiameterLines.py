"""The two diameters of each region, as lines in the views."""

import numpy as np
import slicer
from slicer.i18n import tr as _

from .SegmentationExporter import SegmentationExporter
from .SegmentationResult import regionWords
from .VolumeExporter import VolumeExporter

_ROLE = "MAGPIE.diameter"
_COLORS = {"WT": (0.55, 0.88, 0.89), "TC": (0.85, 0.75, 0.85), "ET": (0.95, 0.35, 0.25)}


class DiameterLines:
    """Line nodes that Slicer shows with their lengths; measured on the segments as they are now."""

    def show(self, result):
        """Draw the lines of a result anew; returns the line nodes.

        Raises
        ------
        InputError
            If a segment has a meaning that is not known.
        """
        from magpie_core.imaging.geometry import Geometry
        from magpie_core.imaging.label_schema import Region, label_schema
        from magpie_core.report.diameters import diameters

        self.hide(result)
        if result is None or result.referenceNode is None:
            return []
        labels = (
            SegmentationExporter().labels(result.segmentationNode, result.referenceNode).transpose(2, 1, 0)
        )
        matrix = VolumeExporter.ijkToWorld(result.referenceNode)
        affine = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
        geometry = Geometry(labels.shape, affine)
        schema = label_schema("magpie")
        names = regionWords()
        nodes = []
        for region in (Region.WT, Region.TC, Region.ET):
            found = diameters(schema.region_mask(labels, region), geometry)
            if found is None:
                continue
            words = _("{region}, longest"), _("{region}, across")
            for text, ends in zip(words, (found.longest_ends_mm, found.perpendicular_ends_mm), strict=True):
                name = text.format(region=names[region.value])
                nodes.append(self._line(result, name, ends, _COLORS[region.value]))
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
