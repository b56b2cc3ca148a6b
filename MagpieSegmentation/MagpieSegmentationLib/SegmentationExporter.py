"""A segmentation of the scene as a label map for the worker."""

import json
from pathlib import Path

import numpy as np
import slicer
from slicer.i18n import tr as _

from magpie_core.errors import InputError

from .SegmentationImporter import SegmentationImporter
from .VolumeExporter import VolumeExporter

# Where segments overlap, the later of these wins: edema, necrotic core, enhancing tumor.
_PRIORITY = (2, 1, 3)


class SegmentationExporter:
    """Writes segments by what they mean, never by their order."""

    def labels(self, segmentationNode, referenceNode):
        """Label map of a segmentation.

        Parameters
        ----------
        segmentationNode
            Segments with the terminology of the project; in any order, any of them empty.
        referenceNode
            The volume on whose grid the labels are to lie.

        Returns
        -------
        np.ndarray
            (K, J, I) uint8, 1 necrotic or non-enhancing core, 2 edema, 3 enhancing tumor.

        Raises
        ------
        InputError
            If a segment that is not empty has another meaning, or two have the same.
        """
        segmentation = segmentationNode.GetSegmentation()
        masks = {}
        for index in range(segmentation.GetNumberOfSegments()):
            segmentId = segmentation.GetNthSegmentID(index)
            mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentationNode, segmentId, referenceNode)
            if mask is None or not mask.any():
                continue
            label = self._labelOf(segmentation.GetSegment(segmentId))
            name = segmentation.GetSegment(segmentId).GetName()
            if label is None:
                raise InputError(
                    _("A segment has a meaning that MAGPIE does not know"),
                    cause=_("segment {name}").format(name=name),
                    remedy=_("Remove it, or give it the terminology of one of MAGPIE's segments"),
                    source=segmentationNode.GetName(),
                )
            if label in masks:
                raise InputError(
                    _("Two segments mean the same"),
                    cause=_("segment {name} and another one").format(name=name),
                    remedy=_("Join them in the Segment Editor (Logical operators, Add)"),
                    source=segmentationNode.GetName(),
                )
            masks[label] = mask > 0
        labels = np.zeros(slicer.util.arrayFromVolume(referenceNode).shape, np.uint8)
        for label in _PRIORITY:
            if label in masks:
                labels[masks[label]] = label
        return labels

    def export(self, segmentationNode, referenceNode, path):
        """Write the label map as NIfTI, in the world as the volume is, with its label schema beside it.

        Raises
        ------
        InputError
            As `labels`, or as `VolumeExporter.export`.
        """
        from magpie_core.imaging.label_schema import label_schema
        from magpie_core.io.segmentation_file import describe_schema, sidecar_path

        node = slicer.vtkMRMLScalarVolumeNode()
        slicer.util.updateVolumeFromArray(node, self.labels(segmentationNode, referenceNode))
        node.SetIJKToRASMatrix(VolumeExporter.ijkToWorld(referenceNode))
        VolumeExporter().export(node, path)
        described = {"label_schema": describe_schema(label_schema("magpie"))}
        sidecar_path(Path(path)).write_text(json.dumps(described), encoding="utf-8")

    def editShare(self, before, after, referenceNode):
        """Share of the tumor (union of both) whose tissue differs, 0 to 1."""
        first, second = (self.labels(node, referenceNode) for node in (before, after))
        union = np.count_nonzero((first > 0) | (second > 0))
        return np.count_nonzero(first != second) / union if union else 0.0

    @staticmethod
    def _labelOf(segment):
        colors = SegmentationImporter().colorTable()
        code = SegmentationImporter.codeOf(segment)
        for label in range(1, colors.GetNumberOfColors()):
            kind = colors.GetTerminologyType(label)
            if kind is not None and (kind.GetCodingSchemeDesignator(), kind.GetCodeValue()) == code:
                return label
        return None
