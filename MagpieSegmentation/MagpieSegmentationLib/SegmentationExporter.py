"""A segmentation node as a label map for the worker."""

import json
from pathlib import Path

import numpy as np
import slicer
from slicer.i18n import tr as _

from magpie_core.errors import InputError
from magpie_core.imaging.glioma import LABELS, Tissue

from .SegmentationImporter import SegmentationImporter
from .VolumeExporter import VolumeExporter

_PRIORITY = (Tissue.ED, Tissue.NCR, Tissue.ET)  # where segments overlap, the later one wins


class SegmentationExporter:
    """Writes segments by their terminology, never by their order."""

    def labels(self, segmentationNode, referenceNode):
        """Return the label map of a segmentation.

        Parameters
        ----------
        segmentationNode
            Segments with the terminology of MAGPIE, in any order; each may be empty.
        referenceNode
            The volume that defines the grid.

        Returns
        -------
        np.ndarray
            (K, J, I) uint8, 1 necrotic or non-enhancing core, 2 edema, 3 enhancing tumor.

        Raises
        ------
        InputError
            If a segment that is not empty has another terminology, or two have the same.
        """
        segmentation = segmentationNode.GetSegmentation()
        masks = {}
        for index in range(segmentation.GetNumberOfSegments()):
            segmentId = segmentation.GetNthSegmentID(index)
            mask = slicer.util.arrayFromSegmentBinaryLabelmap(segmentationNode, segmentId, referenceNode)
            if mask is None or not mask.any():
                continue
            label = self.labelOf(segmentation.GetSegment(segmentId))
            name = segmentation.GetSegment(segmentId).GetName()
            if label is None:
                raise InputError(
                    _("MAGPIE does not know the terminology of a segment"),
                    cause=_("segment {name}").format(name=name),
                    remedy=_("Remove it, or give it the terminology of a segment of MAGPIE"),
                    source=segmentationNode.GetName(),
                )
            if label in masks:
                raise InputError(
                    _("Two segments have the same terminology"),
                    cause=_("segment {name} and another one").format(name=name),
                    remedy=_("Merge them in the Segment Editor (Logical operators, Add)"),
                    source=segmentationNode.GetName(),
                )
            masks[label] = mask > 0
        labels = np.zeros(slicer.util.arrayFromVolume(referenceNode).shape, np.uint8)
        for label in sorted(masks, key=lambda label: _PRIORITY.index(LABELS["magpie"][label])):
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
        from magpie_core.io.segmentation_file import sidecar_path

        node = slicer.vtkMRMLScalarVolumeNode()
        slicer.util.updateVolumeFromArray(node, self.labels(segmentationNode, referenceNode))
        node.SetIJKToRASMatrix(VolumeExporter.ijkToWorld(referenceNode))
        VolumeExporter().export(node, path)
        described = {"label_schema": label_schema("magpie").as_dict()}
        sidecar_path(Path(path)).write_text(json.dumps(described), encoding="utf-8")

    def changedFraction(self, before, after, referenceNode):
        """Return the fraction of the tumor (union of both) whose tissue differs, 0 to 1."""
        first, second = (self.labels(node, referenceNode) for node in (before, after))
        union = np.count_nonzero((first > 0) | (second > 0))
        return np.count_nonzero(first != second) / union if union else 0.0

    @staticmethod
    def labelOf(segment):
        """Return the label of a segment by its terminology; None if MAGPIE does not know it."""
        colors = SegmentationImporter().colorTable()
        code = SegmentationImporter.codeOf(segment)
        for label in range(1, colors.GetNumberOfColors()):
            kind = colors.GetTerminologyType(label)
            if kind is not None and (kind.GetCodingSchemeDesignator(), kind.GetCodeValue()) == code:
                return label
        return None
